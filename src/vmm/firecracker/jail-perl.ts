/**
 * What only system calls can do that Node has not, for the jail: programs for the perl of every Debian (perl-base is Essential).
 * Each is given whole as an argument.
 */
import { LINUX, PERL_BECOME, perlConstants, perlHead } from '../supervisor/perl.ts';
import { PERL_READY } from './ready-perl.ts';

/** @see include/uapi/linux/mount.h, include/uapi/linux/sched.h */
const FLAGS = {
  ...{ CLONE_NEWNS: 0x20000, MS_RDONLY: 0x1, MS_NOSUID: 0x2, MS_NODEV: 0x4, MS_NOEXEC: 0x8, MS_REMOUNT: 0x20 },
  ...{ MS_BIND: 0x1000, MS_REC: 0x4000, MS_PRIVATE: 0x40000 },
} as const;

const MOUNTS = `${perlConstants(FLAGS)}
sub mount { my ($from, $at, $type, $flags, $data) = @_; 0 == syscall SYS_mount, $from, $at, $type, $flags, $data }
# From here on what is mounted is seen by this process and those it becomes alone, and gone with it.
sub unshare_mounts { 0 == syscall(SYS_unshare, CLONE_NEWNS) and mount('none', '/', 'none', MS_REC | MS_PRIVATE, '') }
`;

const NODES = `
sub node { my ($path, $minor) = @_; 0 == syscall SYS_mknod, $path, 0020600, 10 << 8 | $minor }
`;

/**
 * All of root's that jailer needs, and what makes its jail: chown, dac_override, fowner, setgid, setuid, sys_chroot, sys_admin, sys_resource, mknod. It loses
 * them when it changes to the microVM's user.
 *
 * @see include/uapi/linux/capability.h
 */
const RIGHTS = [0, 1, 3, 6, 7, 18, 21, 24, 27].join(', ');

/**
 * Becomes a jailer whose jail is made: a file system in memory, over the run-time directory, with nothing in it but what
 * Firecracker is to have. Of the host nothing is copied, linked or mounted.
 *
 * Arguments: those of `readyWords`; run-time directory, the jail's path below it, its size in KiB; then files, `w` or `r` before each path, and its name
 * in the jail behind it; `--`; the jailer and its arguments.
 */
export const JAIL_STARTER = `${PERL_READY}${MOUNTS}
get_ready();
keep_rights(${RIGHTS});
my ($base, $jail, $kib) = splice @ARGV, 0, 3;
my @files;
while (defined(my $one = shift @ARGV)) { last if $one eq '--'; push @files, [$one, shift @ARGV, shift @ARGV] }

sub show {
  my ($from, $at, $more, $what) = @_;
  mount($from, $at, 'none', MS_BIND, '') or fail "cannot show it $what: $!";
  mount('none', $at, 'none', MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC | $more, '')
    or fail "cannot show it $what without more rights than it needs: $!";
}

unshare_mounts() or fail "cannot have mounts of its own: $!";
# What is in it is reached by this when a file system of its own lies over it.
chdir $base or fail "cannot enter $base: $!";
mount('flintlock-jail', $base, 'tmpfs', MS_NOSUID, 'mode=0711,nr_inodes=1024,size=' . $kib . 'k')
  or fail "cannot make a file system in memory: $!";
my $root = $base;
for my $name (split m{/}, $jail) { $root .= "/$name"; mkdir $root or fail "cannot make $root: $!" }
for (@files) {
  my ($how, $path, $name) = @$_;
  open my $place, '>', "$root/$name" or fail "cannot make $name: $!";
  close $place;
  show($path, "$root/$name", $how eq 'r' ? MS_RDONLY : 0, $path);
}
mkdir "$root/run" or fail "cannot make a directory for its sockets: $!";
show('.', "$root/run", 0, $base);
chdir '/' or fail "cannot enter /: $!";
go();
`;

/** Tries all that a jail needs of the host, with the rights that its starter has. Says `ok`, or why not. */
export const JAIL_TRIAL = `${PERL_READY}${MOUNTS}${NODES}
keep_rights(${RIGHTS});
${String.raw`
sub told { print "$_[0]\n"; exit }
unshare_mounts() or told "it may have no mounts of its own: $!";
mount('flintlock-jail', '/dev', 'tmpfs', MS_NOSUID, 'size=64k') or told "it may mount no file system in memory: $!";
node('/dev/jailed', 232) or told "it may make no device nodes: $!";
told 'ok';
`}`;

/** Makes the devices as a jail has them, for the user whose number is the first argument, and becomes him. */
export const AS_JAILED = `${perlHead(LINUX)}${MOUNTS}${NODES}${PERL_BECOME}${String.raw`
my ($user) = @ARGV;
unshare_mounts() && mount('flintlock-jail', '/dev', 'tmpfs', MS_NOSUID, 'size=64k') or die "cannot make a jail: $!\n";
mkdir '/dev/net' or die "cannot make a jail: $!\n";
chmod 0755, '/dev', '/dev/net';
node('/dev/kvm', 232) && node('/dev/net/tun', 200) && chown($user, $user, '/dev/kvm', '/dev/net/tun')
  or die "cannot make device nodes: $!\n";
become($user);
`}`;
