/**
 * The smallest guest there is, to see that a QEMU runs one: it says
 * {@link TRIAL_WORDS} on its serial port and resets its machine. An ELF for
 * x86-64 that is entered as Xen's PVH is, in 32-bit mode without paging.
 *
 * ```
 * start:  mov   $words, %esi
 * next:   lodsb
 *         test  %al, %al
 *         jz    done
 *         mov   %al, %ah
 *         mov   $0x3fd, %dx          # line status of the first serial port
 * wait:   in    %dx, %al
 *         test  $0x20, %al           # it takes a byte
 *         jz    wait
 *         mov   %ah, %al
 *         mov   $0x3f8, %dx
 *         out   %al, %dx
 *         jmp   next
 * done:   lidt  nowhere              # no interrupt table: int3 is a triple fault, which resets
 *         int3
 * nowhere: .fill 6
 * words:  .asciz "flintlock-trial: up\n"
 * ```
 * @see https://xenbits.xen.org/docs/unstable/misc/pvh.html
 */
export function trialKernel(): Uint8Array {
  const code = assemble(LOAD_AT + HEADERS_BYTES);
  const file = Buffer.alloc(HEADERS_BYTES + code.length);
  file.write('\x7fELF\x02\x01\x01', 'latin1');
  file.writeUInt16LE(2, 16); // ET_EXEC
  file.writeUInt16LE(62, 18); // EM_X86_64
  file.writeUInt32LE(1, 20); // EV_CURRENT
  file.writeBigUInt64LE(BigInt(LOAD_AT + HEADERS_BYTES), 24); // e_entry
  file.writeBigUInt64LE(BigInt(ELF_HEADER), 32); // e_phoff
  file.writeUInt16LE(ELF_HEADER, 52);
  file.writeUInt16LE(PROGRAM_HEADER, 54);
  file.writeUInt16LE(2, 56); // e_phnum
  segment(file, ELF_HEADER, { type: 1, flags: 7, offset: 0, size: file.length }); // PT_LOAD: the whole file
  const note = ELF_HEADER + 2 * PROGRAM_HEADER;
  segment(file, ELF_HEADER + PROGRAM_HEADER, { type: 4, flags: 4, offset: note, size: NOTE }); // PT_NOTE
  file.writeUInt32LE(4, note); // the name's length with its NUL
  file.writeUInt32LE(8, note + 4); // the description's
  file.writeUInt32LE(18, note + 8); // XEN_ELFNOTE_PHYS32_ENTRY
  file.write('Xen\0', note + 12, 'latin1');
  file.writeBigUInt64LE(BigInt(LOAD_AT + HEADERS_BYTES), note + 16);
  code.copy(file, HEADERS_BYTES);
  return file;
}

/** What it says. */
export const TRIAL_WORDS = 'flintlock-trial: up';

/** 1 MiB: the first memory that no firmware uses. */
const LOAD_AT = 0x10_0000;
const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;
const NOTE = 24;
const HEADERS_BYTES = ELF_HEADER + 2 * PROGRAM_HEADER + NOTE;

interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly size: number;
}

function segment(file: Buffer, at: number, { type, flags, offset, size }: Segment): void {
  file.writeUInt32LE(type, at);
  file.writeUInt32LE(flags, at + 4);
  file.writeBigUInt64LE(BigInt(offset), at + 8);
  file.writeBigUInt64LE(BigInt(LOAD_AT + offset), at + 16);
  file.writeBigUInt64LE(BigInt(LOAD_AT + offset), at + 24);
  file.writeBigUInt64LE(BigInt(size), at + 32);
  file.writeBigUInt64LE(BigInt(size), at + 40);
  file.writeBigUInt64LE(4n, at + 48);
}

/** @param at - the address at which it will lie */
function assemble(at: number): Buffer {
  const code = Buffer.from(
    [
      'be 00000000', // mov $words, %esi
      'ac', // next
      '84 c0',
      '74 14', // jz done
      '88 c4',
      '66 ba fd 03',
      'ec', // wait
      'a8 20',
      '74 fb', // jz wait
      '88 e0',
      '66 ba f8 03',
      'ee',
      'eb e7', // jmp next
      '0f 01 1d 00000000', // done: lidt nowhere
      'cc',
      '000000000000', // nowhere
    ]
      .join('')
      .replaceAll(' ', ''),
    'hex',
  );
  code.writeUInt32LE(at + code.length, 1);
  code.writeUInt32LE(at + code.length - 6, code.length - 11);
  return Buffer.concat([code, Buffer.from(`${TRIAL_WORDS}\n\0`)]);
}
