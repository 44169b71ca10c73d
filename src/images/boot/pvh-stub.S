/*
 * Leads from PVH, by which QEMU and Cloud Hypervisor enter a kernel that is an
 * ELF file, to the 64-bit boot protocol, by which Firecracker does. Its bytes
 * stand in pvh-stub.ts; pvh-stub.host.test.ts assembles this and compares.
 *
 * Entered in 32-bit mode without paging, %ebx = hvm_start_info
 *   (include/xen/interface/hvm/start_info.h in Linux).
 * Leaves in 64-bit mode, %rsi = boot_params, the first 4 GiB mapped as they
 *   are (Documentation/arch/x86/boot.rst, "64-bit boot protocol").
 *
 * It uses no stack, and clears what it uses: memory that a reset has left is
 * not clean.
 */
	.code32
	.text
	.globl	start
start:
	cld
	cli
	movl	$tables, %edi
	xorl	%eax, %eax
	movl	$(tables_end - tables) / 4, %ecx
	rep stosl

	movl	$boot_params, %edi
	movl	24(%ebx), %eax			/* cmdline_paddr */
	movl	%eax, 0x228(%edi)		/* cmd_line_ptr */
	movl	28(%ebx), %eax
	movl	%eax, 0x0c8(%edi)		/* ext_cmd_line_ptr */
	movl	32(%ebx), %eax			/* rsdp_paddr */
	movl	%eax, 0x070(%edi)		/* acpi_rsdp_addr */
	movl	36(%ebx), %eax
	movl	%eax, 0x074(%edi)

	cmpl	$0, 12(%ebx)			/* nr_modules */
	je	1f
	movl	16(%ebx), %edx			/* modlist_paddr: the first is the initrd */
	movl	(%edx), %eax
	movl	%eax, 0x218(%edi)		/* ramdisk_image */
	movl	4(%edx), %eax
	movl	%eax, 0x0c0(%edi)		/* ext_ramdisk_image */
	movl	8(%edx), %eax
	movl	%eax, 0x21c(%edi)		/* ramdisk_size */
	movl	12(%edx), %eax
	movl	%eax, 0x0c4(%edi)		/* ext_ramdisk_size */
1:
	movl	40(%ebx), %esi			/* memmap_paddr: 24 bytes an entry */
	movl	48(%ebx), %ecx			/* memmap_entries */
	cmpl	$128, %ecx			/* E820_MAX_ENTRIES_ZEROPAGE */
	jbe	2f
	movl	$128, %ecx
2:
	movb	%cl, 0x1e8(%edi)		/* e820_entries */
	leal	0x2d0(%edi), %edx		/* e820_table: 20 bytes an entry, alike but for the padding */
	testl	%ecx, %ecx
	jz	4f
3:
	movl	(%esi), %eax
	movl	%eax, (%edx)
	movl	4(%esi), %eax
	movl	%eax, 4(%edx)
	movl	8(%esi), %eax
	movl	%eax, 8(%edx)
	movl	12(%esi), %eax
	movl	%eax, 12(%edx)
	movl	16(%esi), %eax
	movl	%eax, 16(%edx)
	addl	$24, %esi
	addl	$20, %edx
	decl	%ecx
	jnz	3b
4:
	movw	$0xaa55, 0x1fe(%edi)		/* boot_flag */
	movl	$0x53726448, 0x202(%edi)	/* header: "HdrS" */
	movw	$0x020c, 0x206(%edi)		/* version: 2.12 has the ext_ fields */
	movb	$0xff, 0x210(%edi)		/* type_of_loader: none that has a number */
	movb	$1, 0x211(%edi)			/* loadflags: LOADED_HIGH */
	movl	$0x1000000, 0x230(%edi)		/* kernel_alignment */
	movl	$2048, 0x238(%edi)		/* cmdline_size */

	/* 4 GiB in pages of 2 MiB: present, writable, large */
	movl	$pd, %edi
	movl	$0x83, %eax
	movl	$2048, %ecx
5:
	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	decl	%ecx
	jnz	5b
	movl	$pdpt, %edi
	movl	$pd + 3, %eax
	movl	$4, %ecx
6:
	movl	%eax, (%edi)
	addl	$0x1000, %eax
	addl	$8, %edi
	decl	%ecx
	jnz	6b
	movl	$pdpt + 3, %eax
	movl	%eax, pml4

	movl	%cr4, %eax
	orl	$0x20, %eax			/* PAE */
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx		/* EFER */
	rdmsr
	orl	$0x100, %eax			/* LME */
	wrmsr
	lgdt	gdtr
	movl	%cr0, %eax
	orl	$0x80000001, %eax		/* PG, PE */
	movl	%eax, %cr0
	ljmp	$0x10, $long			/* __BOOT_CS */

	.code64
long:
	movl	$0x18, %eax			/* __BOOT_DS */
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	$boot_params, %esi
	movq	entry(%rip), %rax
	jmp	*%rax

	.balign	8, 0
gdt:
	.quad	0
	.quad	0
	.quad	0x00af9a000000ffff
	.quad	0x00cf92000000ffff
gdtr:
	.word	gdtr - gdt - 1
	.long	gdt
	.balign	8, 0
	.globl	entry
entry:
	.quad	0				/* the kernel's: put in by whoever uses it */
	.globl	code_end
code_end:

	.balign	4096, 0
tables:
boot_params:
	.space	4096
pml4:
	.space	4096
pdpt:
	.space	4096
pd:
	.space	16384
tables_end:
	.globl	tables_end
