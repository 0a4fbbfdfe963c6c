"""What Marketing tells the others: nothing."""
