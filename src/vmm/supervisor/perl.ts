/**
 * The beginning of a program for the perl of every Debian (perl-base is Essential) that comes before each start of a VMM: it loads no
 * module but `strict`, because POSIX, Socket and warnings take 15 ms of CPU, and all else that such a program does takes one.
 *
 * @param constants - numbers, by the names that it knows them by
 * @param before - the first words of all that it says when it fails
 */
export const perlHead = (constants: Readonly<Record<string, number>>, before = ''): string => {
  return `use strict; BEGIN { $^W = 1 }\n${perlConstants(constants)}\n$| = 1;\n${failing(before)}`;
};

/** Numbers by their names, for what comes behind a head. */
export const perlConstants = (constants: Readonly<Record<string, number>>): string =>
  Object.entries(constants)
    .map(([name, value]) => `sub ${name} () { ${value} }`)
    .join(' ');

const failing = (before: string): string => String.raw`
sub fail { print STDERR "flintlock: ${before}$_[0]\n"; exit 125 }
`;

/** System calls and flags of Linux on x86-64. @see arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/fcntl.h */
export const LINUX = {
  ...{
    SYS_dup2: 33,
    SYS_sendmsg: 46,
    SYS_setuid: 105,
    SYS_setgid: 106,
    SYS_setgroups: 116,
    SYS_mknod: 133,
    SYS_prctl: 157,
    SYS_mount: 165,
  },
  ...{ SYS_unshare: 272, SYS_pidfd_open: 434, SYS_pidfd_getfd: 438 },
  ...{ SYS_landlock_create_ruleset: 444, SYS_landlock_restrict_self: 446 },
  ...{ O_RDONLY: 0o0, O_WRONLY: 0o1, O_RDWR: 0o2, O_CREAT: 0o100, O_EXCL: 0o200, O_NOCTTY: 0o400, O_APPEND: 0o2000 },
  ...{ O_NONBLOCK: 0o4000, O_DIRECTORY: 0o200000, O_NOFOLLOW: 0o400000 },
  ...{ AF_UNIX: 1, SOCK_STREAM: 1, PR_SET_NO_NEW_PRIVS: 38 },
} as const;

/** `become USER, GROUPS`: the process is that user's, of the group of the same number, and of these beside. */
export const PERL_BECOME = `
sub become {
  my ($user, @groups) = @_;
  0 == syscall SYS_setgroups, scalar @groups, pack 'L*', @groups or fail("cannot leave groups of root's: $!");
  0 == syscall SYS_setgid, $user + 0 or fail("cannot become group $user: $!");
  0 == syscall SYS_setuid, $user + 0 or fail("cannot become user $user: $!");
  fail("did not become user $user") unless $< == $user && $> == $user;
}
`;
