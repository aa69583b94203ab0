"""What can be known of a recipient before mail is sent to it: a library of its own."""
