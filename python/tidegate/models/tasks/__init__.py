"""What a model can be for, one task a file. `catalogue.py` beside this folder names them all."""
