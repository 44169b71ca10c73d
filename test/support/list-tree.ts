import { execFileSync } from 'node:child_process';

/**
 * Prints a line for each file below a directory, sorted by path:
 * `PATH KIND MODE UID:GID [MORE]`, where MORE is a file's content in quotes
 * (or its size), where a link leads, or a device's numbers; then `@MTIME`
 * where it is not that of our tars, `=PATH` for a further name of a file, and
 * `NAME=HEX` for each extended attribute. Python, because Node reads no
 * attributes, and to have it from others.
 */
const PROGRAM = `
import os, stat, sys
top = os.fsencode(sys.argv[1])
first = {}
def show(b): return b.decode('latin1').encode('unicode_escape').decode().replace(' ', '\\\\x20')
def line(path):
    s = os.lstat(path)
    mode = stat.S_IMODE(s.st_mode)
    more = []
    kind = {stat.S_IFREG: 'file', stat.S_IFDIR: 'directory', stat.S_IFLNK: 'symlink', stat.S_IFCHR: 'character',
            stat.S_IFBLK: 'block', stat.S_IFIFO: 'fifo', stat.S_IFSOCK: 'socket'}[stat.S_IFMT(s.st_mode)]
    if kind == 'file':
        data = open(path, 'rb').read(33) if s.st_size <= 32 else None
        more.append('"%s"' % show(data) if data is not None else str(s.st_size))
    if kind == 'symlink': more.append('-> ' + show(os.readlink(path)))
    if kind in ('character', 'block'): more.append('%d:%d' % (os.major(s.st_rdev), os.minor(s.st_rdev)))
    ns = s.st_mtime_ns
    if ns != 1600000000 * 10**9: more.append('@%d%s' % (ns // 10**9, ('.%09d' % (ns % 10**9)).rstrip('0') if ns % 10**9 else ''))
    if kind != 'directory' and s.st_nlink > 1:
        if s.st_ino in first: more.append('=' + first[s.st_ino])
        else: first[s.st_ino] = show(os.path.relpath(path, top))
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        more.append('%s=%s' % (name, os.getxattr(path, name, follow_symlinks=False).hex()))
    print(show(os.path.relpath(path, top)), kind, '%04o' % mode if kind != 'symlink' else '-', '%d:%d' % (s.st_uid, s.st_gid), *more)
def walk(path):
    line(path)
    if stat.S_ISDIR(os.lstat(path).st_mode):
        for name in sorted(os.listdir(path)): walk(os.path.join(path, name))
walk(top)
`;

/** The lines of a tree; the first is that of its root, `.`. */
export const listTree = (directory: string): readonly string[] =>
  execFileSync('python3', ['-c', PROGRAM, directory], { encoding: 'utf8', maxBuffer: 64 << 20 })
    .trimEnd()
    .split('\n');
