import { cloudHypervisor } from './cloudhypervisor/provider.ts';
import { firecracker } from './firecracker/provider.ts';
import type { Provider } from './provider.ts';
import { qemu } from './qemu/provider.ts';

/**
 * Every VMM there is: the one table that daemon, doctor and reference pages read. `auto` tries them in this order: those
 * that are of use with KVM alone come first.
 */
export const PROVIDERS = [firecracker, cloudHypervisor, qemu] as const satisfies readonly Provider[];

/** The provider of records that tell none: their version knew no other. */
export const FIRST_THERE_WAS: string = qemu.name;

type SettingsOf<P> = P extends { readonly settings: infer S } ? keyof S & string : never;
/** The settings that they bring. */
export type ProviderSettingName = SettingsOf<(typeof PROVIDERS)[number]>;
