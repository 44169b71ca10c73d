# What Firecracker's jailer does, without its cgroups and namespaces of pids: same arguments, same refusals, same jail, and then
# it is the program. Node can do none of it. VERSION, HOW and BESIDE are put before it: see program.ts.
# https://github.com/firecracker-microvm/firecracker/tree/main/src/jailer/src
use strict; use warnings; use Cwd (); use Fcntl; use POSIX ();
our ($VERSION, $HOW, %BESIDE);
use constant {
  SYS_mknod => 133, SYS_pivot_root => 155, SYS_setrlimit => 160, SYS_mount => 165, SYS_umount2 => 166,
  SYS_setgroups => 116, SYS_unshare => 272, CLONE_NEWNS => 0x20000, MNT_DETACH => 2, RLIMIT_NOFILE => 7,
  MS_RDONLY => 0x1, MS_REMOUNT => 0x20, MS_BIND => 0x1000, MS_REC => 0x4000, MS_SLAVE => 0x80000,
};
$| = 1;

sub fail { my ($words) = @_; print STDERR "$words\nError: it failed\n"; exit 1 }
sub os { my $number = $! + 0; "$! (os error $number)" }
sub mount { my ($from, $at, $flags) = @_; my $type = 'none'; 0 == syscall SYS_mount, $from, $at, $type, $flags, 0 }

opendir my $open, '/proc/self/fd' or fail('Failed to open directory');
my @open = grep { /^\d+$/ && $_ > 2 } readdir $open;
closedir $open;
POSIX::close($_) for @open;
%ENV = ();

my %takes = (
  (map { $_ => 'one' } qw(id exec-file uid gid chroot-base-dir netns cgroup-version parent-cgroup)),
  (map { $_ => 'many' } qw(cgroup resource-limit)), (map { $_ => 'none' } qw(daemonize new-pid-ns version help)),
);
my (%given, @more);
my @words = @ARGV;
while (defined(my $word = shift @words)) {
  if ($word eq '--') { @more = @words; last }
  my ($name) = $word =~ /^--(.+)$/;
  my $how = defined $name ? $takes{$name} : undef;
  fail("Failed to parse arguments: Found argument '" . ($name // $word) . "' which wasn't expected, or isn't valid in this context.") unless $how;
  fail("Failed to parse arguments: The argument '$name' was provided more than once.") if exists $given{$name} && $how ne 'many';
  if ($how eq 'none') { $given{$name} = 1; next }
  my $value = shift @words;
  fail("Failed to parse arguments: The argument '$name' requires a value, but none was supplied.") if !defined $value || $value =~ /^--/;
  $given{$name} = $how eq 'many' ? [@{ $given{$name} // [] }, $value] : $value;
}
if ($given{version}) {
  sleep 1 while $HOW eq 'hangs';
  print "Jailer v$VERSION\n\n" if $HOW ne 'silent';
  exit 0;
}
for (qw(exec-file gid id uid)) { fail("Failed to parse arguments: Argument '$_' required, but not found.") unless exists $given{$_} }
# What ours never asks for.
for (qw(cgroup daemonize netns new-pid-ns resource-limit)) { fail("The stand-in has no --$_") if exists $given{$_} }

my ($id, $exec, $uid, $gid) = @given{qw(id exec-file uid gid)};
fail('Invalid instance ID: Invalid len (' . length($id) . ');  the length must be between 1 and 64') if length $id < 1 || length $id > 64;
fail("Invalid instance ID: Invalid char ($1) at position " . ($-[1])) if $id =~ /([^\p{L}\p{N}-])/;
sub canonical { my ($path) = @_; my $real = Cwd::realpath($path); -e ($real // '') ? $real : fail("Failed to canonicalize path $path: " . os()) }
$exec = canonical($exec);
-f $exec or fail("$exec is not a file");
my $base = canonical($given{'chroot-base-dir'} // '/srv/jailer');
-d $base or fail("$base is not a directory");
$uid =~ /^\d+$/ or fail("Invalid uid: $uid");
$gid =~ /^\d+$/ or fail("Invalid gid: $gid");
fail('nothing would do') if $HOW eq 'exits';
open my $misc, '<', '/proc/misc' or fail('Failed to open file /proc/misc');
my ($faults) = map { /^\s*(\d+) userfaultfd$/ ? $1 : () } <$misc>;
close $misc;

my ($name) = $exec =~ m{([^/]+)$};
sub make_directories { my $at = ''; for (split m{/}, $_[0]) { next if $_ eq ''; $at .= "/$_"; -d $at or mkdir $at, 0755 or fail("Failed to create directory $at: " . os()) } }
my $root = "$base/$name/$id/root";
make_directories($root);

# Of its own, and never by a link to something else.
sysopen my $to, "$root/$name", O_WRONLY | O_CREAT | O_NOFOLLOW, (stat $exec)[2] & 07777 or fail("Failed to open $root/$name: " . os());
fail("Detected hard link at: $root/$name") if (stat $to)[3] > 1;
chown $uid, $gid, $to or fail("Failed to change owner for $root/$name: " . os());
open my $from, '<', $exec or fail("Failed to open $exec: " . os());
while (sysread $from, my $bytes, 1 << 16) { syswrite $to, $bytes }
close $to;

my $limit = pack 'QQ', 2048, 2048;
0 == syscall SYS_setrlimit, RLIMIT_NOFILE, $limit or fail('Failed to set limit for resource: number of file descriptors');

# What a program needs that is not static: the stand-in of Firecracker is a script. No other file of the host's is there, nor /proc.
my $mask = umask 022;
for my $at (sort keys %BESIDE) {
  my $what = $BESIDE{$at};
  next if -e "$root$at";
  if (-l $what) { symlink readlink $what, "$root$at"; next }
  make_directories(-d $what ? "$root$at" : "$root$at" =~ s{/[^/]+$}{}r);
  if (!-d $what) { open my $file, '>', "$root$at" or fail("Failed to make $at: " . os()) }
  mount($what, "$root$at", MS_BIND) && mount($what, "$root$at", MS_BIND | MS_REMOUNT | MS_RDONLY) or fail("Failed to show $at: " . os());
}
umask $mask;

0 == syscall SYS_unshare, CLONE_NEWNS or fail('Failed to unshare into new mount namespace: ' . os());
mount('none', '/', MS_SLAVE | MS_REC) or fail('Failed to change the propagation type to slave: ' . os());
mount($root, $root, MS_BIND | MS_REC) or fail('Failed to bind mount the jail root directory: ' . os());
chdir $root or fail('Failed to set current directory: ' . os());
mkdir 'old_root', 0600 or fail('Failed to create the jail root directory before pivoting root: ' . os());
my ($here, $there) = ('.', 'old_root');
0 == syscall SYS_pivot_root, $here, $there or fail('Failed to pivot root: ' . os());
chdir '/' or fail('Failed to chdir into chroot directory: ' . os());
0 == syscall SYS_umount2, $there, MNT_DETACH or fail('Failed to unmount the old jail root: ' . os());
rmdir $there or fail('Failed to remove old jail root directory: ' . os());

for my $folder (qw(/ /dev /dev/net /run)) {
  make_directories($folder);
  chmod 0700, $folder or fail("Failed to change permissions on $folder: " . os());
  chown $uid, $gid, $folder or fail("Failed to change owner for $folder: " . os());
}
sub node {
  my ($path, $major, $minor) = @_;
  my $device = $major << 8 | $minor & 0xff | ($minor & ~0xff) << 12;
  if ($HOW eq 'no-nodes') { $! = POSIX::EPERM() }
  elsif (0 == syscall SYS_mknod, $path, 0020600, $device) { return chown $uid, $gid, $path }
  fail("Failed to create $path via mknod inside the jail: " . os());
}
node('/dev/net/tun', 10, 200);
node('/dev/kvm', 10, 232);
node('/dev/urandom', 1, 9);
node('/dev/userfaultfd', 10, $faults) if defined $faults;
# The stand-in's own: perl, with which it opens taps, wants it.
node('/dev/null', 1, 3);

sysopen my $pid, "/$name.pid", O_WRONLY | O_CREAT | O_EXCL or fail("Failed to open file /$name.pid: " . os());
print $pid $$;
close $pid;
0 == syscall SYS_setgroups, 0, 0 and POSIX::setgid($gid) and POSIX::setuid($uid) or fail('Failed to exec into Firecracker: ' . os());
my @argv = ("/$name", '--id', $id, '--start-time-us', 1, '--start-time-cpu-us', 1, '--parent-cpu-time-us', 1, @more);
exec { $argv[0] } @argv or fail('Failed to exec into Firecracker: ' . os());
