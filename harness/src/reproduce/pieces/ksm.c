#define KSM "/sys/kernel/mm/ksm/"
