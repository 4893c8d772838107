/*
 * The guest of the probe. Comes up by the firmware, as the kernels that are tested do, and then does what each of them
 * does first: page tables, long mode, an interrupt table, and sleeping until the timer wakes it. Then it says that it ran.
 *
 * accel/guest.rs holds what this assembles to:
 *   gcc -c -nostdlib guest.S -o guest.o && objcopy -O binary -j .text guest.o guest.bin
 */
	.set	MAGIC, 0x1badb002	/* Multiboot 0.6.96, section 3.1 */
	.set	FLAGS, 1 << 16		/* the addresses below are valid */
	.set	BASE, 0x100000		/* where all this is loaded */
	.set	TABLES, 0x200000	/* four pages: three of page tables, the interrupt table */
	.set	STACK, 0x280000
	.set	WAKINGS, 16

	.text
	.code32
start:
	.long	MAGIC, FLAGS, -(MAGIC + FLAGS)
	.long	BASE, BASE, 0, 0, BASE + entry - start

entry:
	cli
	cld
	movl	$TABLES, %edi
	xorl	%eax, %eax
	movl	$4 * 1024, %ecx
	rep stosl
	/* The first 4 MiB, as they are. */
	movl	$TABLES + 0x1003, TABLES
	movl	$TABLES + 0x2003, TABLES + 0x1000
	movl	$0x000083, TABLES + 0x2000
	movl	$0x200083, TABLES + 0x2008
	movl	%cr4, %eax
	orl	$0x20, %eax		/* PAE */
	movl	%eax, %cr4
	movl	$TABLES, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx	/* EFER */
	rdmsr
	orl	$0x100, %eax		/* LME */
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000001, %eax	/* PG, PE */
	movl	%eax, %cr0
	lgdt	BASE + gdt_place - start
	ljmp	$8, $BASE + long_mode - start

	.code64
long_mode:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$STACK, %esp
	/* Interrupt 0x20, which the timer is given below. */
	movl	$BASE + timer - start, %eax
	movl	$TABLES + 0x3000 + 0x20 * 16, %edi
	movw	%ax, (%rdi)
	movl	$0x8e000008, 2(%rdi)	/* a gate to the code segment; its address goes on behind */
	shrl	$16, %eax
	movw	%ax, 6(%rdi)
	lidt	idt_place(%rip)
	leaq	ports(%rip), %rsi
	movl	$(ports_end - ports) / 2, %ecx
	xorl	%edx, %edx
next:	lodsw
	movb	%al, %dl
	movb	%ah, %al
	outb	%al, %dx
	loop	next
	xorl	%ebx, %ebx
sleep:	sti
	hlt
	cmpl	$WAKINGS, %ebx
	jb	sleep
	movb	$0x2a, %al
	outb	%al, $0xf4
stay:	hlt
	jmp	stay

timer:
	pushq	%rax
	incl	%ebx
	movb	$0x20, %al		/* end of interrupt */
	outb	%al, $0x20
	popq	%rax
	iretq

/* A port and what it is given: both interrupt controllers, and the timer a thousand times a second. */
ports:
	.byte	0x20, 0x11, 0xa0, 0x11, 0x21, 0x20, 0xa1, 0x28
	.byte	0x21, 0x04, 0xa1, 0x02, 0x21, 0x01, 0xa1, 0x01
	.byte	0x21, 0xfe, 0xa1, 0xff
	.byte	0x43, 0x34, 0x40, 1193 & 255, 0x40, 1193 >> 8
ports_end:

	.balign	8
gdt:
	.quad	0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_place:
	.word	gdt_place - gdt - 1
	.long	BASE + gdt - start
	.balign	8
idt_place:
	.word	0x1000 - 1
	.quad	TABLES + 0x3000
end:
