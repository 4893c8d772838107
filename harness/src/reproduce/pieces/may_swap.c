static int may_swap; /* whether pages of this program may be swapped out */
