"""What differs between operating systems, or belongs to the machine rather than to the app."""
