"""What Python teams use instead, each as a competent user would write it, doing the same work item."""
