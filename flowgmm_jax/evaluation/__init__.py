"""What a trained model is worth: measured on examples that it has not seen."""
