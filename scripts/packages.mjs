/**
 * The Debian packages that Flintlock needs: [package, what for, a file that
 * is there when it is installed]. One list for the set-up and for the README.
 */
export const NEEDED = [
  ['libatomic1', 'is needed by the Node that the lockfile pins', '/usr/lib/x86_64-linux-gnu/libatomic.so.1'],
  ['qemu-system-x86', 'runs the microVMs', '/usr/bin/qemu-system-x86_64'],
  ['qemu-utils', "makes a microVM's own copy of a disk", '/usr/bin/qemu-img'],
  ['skopeo', 'fetches OCI images', '/usr/bin/skopeo'],
  ['umoci', 'makes OCI images', '/usr/bin/umoci'],
  ['bzip2', 'unpacks layers that are packed so', '/bin/bzip2'],
  ['ca-certificates', 'proves who a registry is', '/usr/sbin/update-ca-certificates'],
  ['e2fsprogs', 'makes the disk images', '/sbin/mke2fs'],
  ['fdisk', 'makes the partition of a disk that has one', '/sbin/sfdisk'],
  ['dosfstools', 'makes the disk with the metadata of a microVM that may not ask for it', '/usr/sbin/mkfs.vfat'],
  ['mtools', 'writes that disk', '/usr/bin/mcopy'],
  ['iproute2', 'makes bridges and network devices', '/bin/ip'],
  ['nftables', 'keeps the firewall of the managed network', '/usr/sbin/nft'],
  ['conntrack', 'ends connections when a published port leads elsewhere', '/usr/sbin/conntrack'],
  ['dnsmasq-base', 'gives the microVMs their addresses', '/usr/sbin/dnsmasq'],
  ['dnsmasq-utils', 'frees an address when its microVM is gone', '/usr/bin/dhcp_release'],
  ['xz-utils', 'unpacks kernels, their modules and layers of images', '/usr/bin/xz'],
  ['lz4', 'unpacks kernels too', '/usr/bin/lz4'],
  ['busybox-static', 'is the demo guest', '/var/lib/dpkg/info/busybox-static.list'],
];

/** What the tests need beside them. */
export const NEEDED_BY_TESTS = [
  ['iputils-ping', 'asks the guests for an answer', '/bin/ping'],
  ['openssl', 'makes certificates', '/usr/bin/openssl'],
  ['curl', 'is an HTTP client by others', '/usr/bin/curl'],
  ['python3-grpcio', 'is a gRPC client by others', '/usr/lib/python3/dist-packages/grpc/__init__.py'],
  ['python3-protobuf', 'builds its messages', '/usr/lib/python3/dist-packages/google/protobuf/__init__.py'],
];

/**
 * Programs for tests that are unpacked below .cache/tools and not installed,
 * because installing them starts a service: [package, what for, program].
 */
export const UNPACKED_FOR_TESTS = [['docker-registry', 'is a real registry to pull from', 'usr/bin/docker-registry']];

/** What `npm run images` needs beside them, by image. The kernel's source is fetched and not installed. */
export const NEEDED_BY_IMAGES = {
  kernel: [
    ['gcc', 'compiles the small kernel', '/usr/bin/gcc'],
    ['libc6-dev', "is for the kernel's own tools", '/usr/include/stdio.h'],
    ['libelf-dev', 'is for its objtool', '/usr/include/libelf.h'],
    ['make', 'runs its build', '/usr/bin/make'],
    ['bison', 'makes its parsers', '/usr/bin/bison'],
    ['flex', 'makes its scanners', '/usr/bin/flex'],
    ['bc', 'calculates its time constants', '/usr/bin/bc'],
  ],
  debian: [['mmdebstrap', "makes a root of Debian's packages", '/usr/bin/mmdebstrap']],
};
