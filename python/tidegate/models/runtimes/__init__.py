"""What runs a model file, one library a file. Nothing here is imported before a model of its kind is loaded."""
