static struct pair pair1; /* in the other protection domain */
