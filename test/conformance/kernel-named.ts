const FIELD = 65; // __NEW_UTS_LEN + 1, include/uapi/linux/utsname.h

/**
 * The same kernel, but `uname -v` says another name: so the guest tells which
 * of several files was booted. It changes the field `version` of the kernel's
 * init_uts_ns, which nothing but uname(2) and /proc/version reads.
 *
 * @param vmlinux - a kernel as ELF file
 */
export function kernelNamed(vmlinux: Uint8Array, name: string): Buffer {
  const kernel = Buffer.from(vmlinux);
  const field = (text: string): Buffer => Buffer.concat([Buffer.from(text), Buffer.alloc(FIELD - text.length)]);
  // struct new_utsname: sysname, nodename, release, version, machine, domainname.
  const begin = Buffer.concat([field('Linux'), field('(none)')]);
  let count = 0;
  for (let at = kernel.indexOf(begin); at >= 0; at = kernel.indexOf(begin, at + 1), count++)
    field(`#1 ${name}`).copy(kernel, at + 3 * FIELD);
  if (count === 0) throw new Error('Cannot name the kernel: it has no struct new_utsname');
  return kernel;
}
