/* Frames have numbers, in the order in which they are met. */
static int frame_number(uint64_t entry)
{
	static uint64_t frame[256];
	int i = 0;

	if (!(entry & FRAME))
		cannot_tell("must be root to see which frame a page is on");
	while (i < 255 && frame[i] && frame[i] != (entry & FRAME))
		i++;
	frame[i] = entry & FRAME;
	return i + 1;
}
