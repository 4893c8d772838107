/* A guest that obeys over its wire: a letter and a number, as "%c%08x", then what the letter says. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

static unsigned char buffer[1 << 20];

static void take(int wire, size_t count)
{
	for (size_t done = 0; done < count;) {
		ssize_t got = read(wire, buffer + done, count - done);
		if (got <= 0)
			exit(10);
		done += got;
	}
}

static void give(int wire, size_t count)
{
	for (size_t done = 0; done < count;) {
		ssize_t put = write(wire, buffer + done, count - done);
		if (put <= 0)
			exit(11);
		done += put;
	}
}

int main(void)
{
	struct termios mode;
	int wire;

	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	wire = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
	if (wire < 0 || tcgetattr(wire, &mode))
		return 12;
	cfmakeraw(&mode);
	tcsetattr(wire, TCSANOW, &mode);
	buffer[0] = '!';
	give(wire, 1);
	for (;;) {
		char digits[9] = { 0 };
		char letter;
		size_t count;

		take(wire, 9);
		letter = buffer[0];
		memcpy(digits, buffer + 1, 8);
		count = strtoul(digits, NULL, 16);
		switch (letter) {
		case 'e': /* echo */
			take(wire, count);
			give(wire, count);
			break;
		case 'k': { /* so many lines into the kernel log, then one byte */
			int log = open("/dev/kmsg", O_WRONLY);
			for (size_t line = 0; line < count; line++)
				dprintf(log, "<4>line %zu of %zu\n", line + 1, count);
			close(log);
			give(wire, 1);
			break;
		}
		case 'f': /* so many busy children, then one byte */
			for (size_t child = 0; child < count; child++)
				if (fork() == 0)
					for (;;)
						if (child % 2)
							getppid();
			give(wire, 1);
			break;
		case 'o': /* power off */
			reboot(RB_POWER_OFF);
			break;
		default: /* init ends, and the kernel panics */
			return 13;
		}
	}
}
