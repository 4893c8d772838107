static volatile size_t done; /* bytes of an access before it faulted */
