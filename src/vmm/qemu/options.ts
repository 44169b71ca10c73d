import { type AcpiChoice, acpiFor } from '../../domain/acpi.ts';
import type { Violation } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import type { VmmConfig } from '../../ports/vmm.ts';
import type { Provider } from '../provider.ts';

type Options = Readonly<Record<string, string>>;

/** What `provider_options` may hold. */
export const OPTIONS: Provider['options'] = {
  'qemu.acpi': {
    values: ['on', 'off'],
    help: 'off: a machine without ACPI, for a kernel that has none of it; absent: as kernel and `kernel.cmdline` ask for, else as `--qemu-acpi` says',
  },
  'qemu.channel': {
    values: ['port', 'vsock'],
    help: "vsock: the agent is reached by the host's vhost-vsock, with a connection for each call, for which the host needs that module and the kernel CONFIG_VIRTIO_VSOCKETS; absent: by a virtio-serial port",
  },
};

/** Whether the guest has a vsock in place of the agent's port. */
export const isByVsock = ({ options }: { readonly options?: Options | undefined }): boolean =>
  options?.['qemu.channel'] === 'vsock';

/** @param hasVsock - whether the host has what a vsock is made with; absent: it is not known */
export function vsockLacks(options: Options, hasVsock: boolean | undefined): readonly Violation[] {
  if (!isByVsock({ options }) || hasVsock !== false) return [];
  const description =
    'is vsock, and this host has no /dev/vhost-vsock that can be opened: `sudo modprobe vhost_vsock` makes it (and a file in /etc/modules-load.d at each boot), or leave it out';
  return [{ field: 'provider_options[qemu.channel]', description }];
}

/** What is wrong with the options of a spec. */
export function checkOptions(options: Options): readonly Violation[] {
  return Object.entries(options).flatMap(([key, value]) => {
    const field = `provider_options[${shorten(key)}]`;
    const values = Object.hasOwn(OPTIONS, key) ? OPTIONS[key]?.values : undefined;
    if (!values)
      return [{ field, description: `is no option of QEMU's; there are: ${Object.keys(OPTIONS).sort().join(', ')}` }];
    if (values.includes(value)) return [];
    return [{ field, description: `"${shorten(value)}" must be ${values.join(' or ')}` }];
  });
}

/** Whether one microVM's machine has ACPI. @param byDefault - the daemon's own setting */
export function acpiOf(
  { options, cmdline, kernelFacts }: Pick<VmmConfig, 'options' | 'cmdline' | 'kernelFacts'>,
  byDefault: boolean,
): AcpiChoice {
  const value = options?.['qemu.acpi'];
  return acpiFor(value === 'on' || value === 'off' ? value : undefined, cmdline, kernelFacts, byDefault);
}
