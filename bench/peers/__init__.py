"""What is measured side by side: a small module each."""
