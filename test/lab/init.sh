#!/bin/busybox sh
# The first program of the nested host: its root is the machine's own files, read-only, with a layer in memory above them.
/bin/busybox mkdir -p /proc /sys /dev /below /scratch /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
while read -r module; do
  /bin/busybox insmod "/modules/$module" || echo "lab: cannot load $module"
done </modules/order

/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose below /below ||
  echo "lab: cannot mount the machine's files"
/bin/busybox mount -t tmpfs -o size=80%,mode=755 scratch /scratch
/bin/busybox mkdir /scratch/above /scratch/work
/bin/busybox mount -t overlay -o lowerdir=/below,upperdir=/scratch/above,workdir=/scratch/work overlay /root ||
  echo "lab: cannot lay the scratch layer above them"
/bin/busybox mkdir -p /root/proc /root/sys /root/dev /root/run
/bin/busybox mount -t tmpfs -o mode=755 run /root/run
/bin/busybox cp -a /job /root/run/lab
/bin/busybox cp /bin/busybox /root/run/lab/busybox
for directory in proc sys dev; do /bin/busybox mount --move "/$directory" "/root/$directory"; done
exec /bin/busybox switch_root /root /run/lab/busybox sh /run/lab/host.sh
