/* Gives the frame of a page its number. */
static void note_frame(int page)
{
	if (pagemap(page) & PRESENT)
		frame_number(pagemap(page));
}
