import type { Provider } from './provider.ts';
import { qemu } from './qemu/provider.ts';

/** Every VMM there is: the one table that daemon, doctor and reference pages read. By default they are tried in this order. */
export const PROVIDERS = [qemu] as const satisfies readonly Provider[];

type SettingsOf<P> = P extends { readonly settings: infer S } ? keyof S & string : never;
/** The settings that they bring. */
export type ProviderSettingName = SettingsOf<(typeof PROVIDERS)[number]>;
