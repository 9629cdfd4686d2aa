"""What training minimises: the terms and their weighted sum."""
