import type { MicroVMSpec } from '../gen/types/microvm_pb.ts';

/** What no daemon would take, one line each. It knows less than the daemon: what this lets pass may be refused. */
export function faultsOf(spec: MicroVMSpec): string[] {
  const wrong: string[] = [];
  const roots = spec.volumes.filter(({ isRoot }) => isRoot).length;
  if (!spec.kernel?.image) wrong.push('kernel.image: must name the image with the kernel');
  if (roots > 1) wrong.push(`volumes: ${roots} are the root; one may be`);
  if (roots === 0 && !spec.initrd) wrong.push('volumes: one must be the root (is_root), unless there is an initrd');
  if (spec.vcpu < 0) wrong.push('vcpu: must not be negative');
  if (spec.memoryInMb < 0) wrong.push('memory_in_mb: must not be negative');
  spec.volumes.forEach((volume, i) => {
    if (volume.id === '') wrong.push(`volumes[${i}].id: must be given`);
    if (!volume.source?.containerSource) wrong.push(`volumes[${i}].source.container_source: must name an image`);
    if (spec.volumes.findIndex(({ id }) => id === volume.id) < i)
      wrong.push(`volumes[${i}].id: "${volume.id}" is given twice`);
  });
  spec.interfaces.forEach((nic, i) => {
    if (nic.guestDeviceName === '') wrong.push(`interfaces[${i}].guest_device_name: must be given`);
    else if (spec.interfaces.findIndex(({ guestDeviceName }) => guestDeviceName === nic.guestDeviceName) < i)
      wrong.push(`interfaces[${i}].guest_device_name: "${nic.guestDeviceName}" is given twice`);
  });
  return wrong;
}
