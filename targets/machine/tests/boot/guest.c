/*
 * A guest that obeys over its wire: a letter and a number, as "%c%08x", then what the letter says.
 * Gives one byte on the credit line for each 1024 bytes it has read from the wire.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

static unsigned char buffer[1 << 20];
static size_t taken, credited;
static int credit;

static void take(int wire, size_t count)
{
	for (size_t done = 0; done < count;) {
		ssize_t got = read(wire, buffer + done, count - done);
		if (got <= 0)
			exit(10);
		done += got;
		for (taken += got; taken - credited >= 1024; credited += 1024)
			if (write(credit, "+", 1) != 1)
				exit(14);
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

static void log_line(int log, size_t number, size_t count)
{
	char text[64];
	int length = snprintf(text, sizeof text, "<4>line %zu of %zu\n", number, count);

	if (write(log, text, length) != length)
		exit(15);
}

/* The value of a kernel parameter. */
static const char *parameter(const char *name)
{
	static char line[4096];
	int file = open("/proc/cmdline", O_RDONLY);
	ssize_t length = read(file, line, sizeof line - 1);
	char *word;

	close(file);
	if (length < 0)
		exit(16);
	line[length] = 0;
	for (word = strtok(line, " \n"); word; word = strtok(NULL, " \n"))
		if (!strncmp(word, name, strlen(name)))
			return word + strlen(name);
	exit(17);
}

static int raw(const char *line)
{
	struct termios mode;
	int file = open(line, O_RDWR | O_NOCTTY);

	if (file < 0 || tcgetattr(file, &mode))
		exit(12);
	cfmakeraw(&mode);
	tcsetattr(file, TCSANOW, &mode);
	return file;
}

int main(void)
{
	int wire;

	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	wire = raw(parameter("pinfold.wire="));
	credit = raw(parameter("pinfold.credit="));
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
		case 'g': /* give so many bytes */
			give(wire, count);
			break;
		case 'k': { /* so many lines into the kernel log, then one byte */
			int log = open("/dev/kmsg", O_WRONLY);
			for (size_t line = 0; line < count; line++)
				log_line(log, line + 1, count);
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
