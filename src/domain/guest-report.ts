import { type GuestMount, guestMounts, helpedNics, percentEncoded } from './guest-words.ts';
import { shorten } from './labels.ts';
import { metadataBy } from './metadata-rules.ts';
import type { MicroVm } from './microvm.ts';
import type { GuestNic } from './network-config.ts';
import { guestNics } from './static-address.ts';

/**
 * How the line begins on which a guest says what it did of what only it can do:
 *
 *     flintlock-guest: configured nics=web0:10.77.0.9/24,eth0:dhcp mounts=/data:rw,/srv/a%20b:failed
 *
 * `flintlock-init` prints it, and the script that cloud-init runs from our
 * vendor-data. A guest can print anything: it is believed of itself, in the
 * condition `GuestConfigured` alone.
 */
export const CONFIGURED = 'flintlock-guest: configured ';
/** What `flintlock-init` says where cloud-init is to do it. */
const LEFT = 'flintlock-guest: configuration left to cloud-init';
/** Our initrd and the kernel say these when a boot begins: what came before is another boot's. */
const BEGINNINGS = ['flintlock-initrd: the root is ', '[    0.000000] Linux version '] as const;

/** How the line begins on which our initrd says which program of the root becomes the first one, and why not another. */
const INIT = 'flintlock-initrd: the init is ';

/** The longest line that is looked at: the words for a guest have fewer than 2048 bytes, and it says little more of them. */
export const MAX_LINE = 4096;

/** What of a spec only the guest can do. */
export interface AskedOfGuest {
  readonly nics: readonly GuestNic[];
  readonly mounts: readonly GuestMount[];
  /** From which cloud-init would learn it. */
  readonly hasMetadata: boolean;
}

/** What `GuestConfigured` says, and why. */
export interface GuestReport {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: 'Configured' | 'ConfigurationFailed' | 'NotReported' | 'NothingToConfigure';
  readonly message: string;
}

export function askedOfGuest({ spec, allocation }: Pick<MicroVm, 'spec' | 'allocation'>): AskedOfGuest {
  const nics = helpedNics(guestNics(spec.interfaces, allocation, undefined));
  const { service, disk, mmds } = metadataBy(spec);
  return { nics, mounts: guestMounts(spec.volumes), hasMetadata: service || disk || mmds === 'v1' };
}

/** What our initrd says of the root's init. */
export type InitReport = { readonly isPlain: true } | { readonly isPlain: false; readonly message: string };

/**
 * Which init the guest has, where our initrd has said so in this text.
 *
 * @param text - as for {@link reportIn}
 */
export function initIn(text: string): InitReport | undefined {
  const at = text.lastIndexOf(INIT);
  if (at === -1) return undefined;
  const [line = ''] = text.slice(at + INIT.length, at + MAX_LINE).split(/[\r\n]/, 1);
  const [init = '', passed] = line.split(/, because (.*)$/, 2);
  if (passed === undefined) return { isPlain: true };
  return { isPlain: false, message: `The guest's init is ${shorten(init)}, because of ${passed}` };
}

/** What is known of a guest that has not said a word in this boot. */
export function unheard(asked: AskedOfGuest): GuestReport {
  if (asked.nics.length === 0 && asked.mounts.length === 0)
    return {
      status: 'True',
      reason: 'NothingToConfigure',
      message: 'The spec has no name, mount point or static address that the guest must see to',
    };
  return unknown(`The guest has not said whether it applied ${namesOf(asked)}`);
}

/**
 * What the last line of a guest that counts says.
 *
 * @param text - whole lines; of a line that is longer than {@link MAX_LINE} the beginning may be missing
 * @returns undefined where no line counts
 */
export function reportIn(text: string, asked: AskedOfGuest): GuestReport | undefined {
  const configured = text.lastIndexOf(CONFIGURED);
  const left = text.lastIndexOf(LEFT);
  const begun = Math.max(...BEGINNINGS.map((word) => text.lastIndexOf(word)));
  const last = Math.max(configured, left, begun);
  if (last === -1) return undefined;
  if (last === begun) return unheard(asked);
  if (last === left) return leftToCloudInit(asked);
  const [line = ''] = text.slice(configured + CONFIGURED.length, configured + MAX_LINE).split(/[\r\n]/, 1);
  return judge(line, asked);
}

function leftToCloudInit(asked: AskedOfGuest): GuestReport {
  const why = !asked.hasMetadata
    ? 'it has no metadata, from which cloud-init would learn it: give the spec some, e.g. an empty user-data'
    : 'that has not said so yet';
  return unknown(`The guest leaves ${namesOf(asked)} to cloud-init, and ${why}`);
}

/** @param line - `nics=… mounts=…` */
function judge(line: string, asked: AskedOfGuest): GuestReport {
  const [, nics = '', mounts = ''] = /^nics=(\S+) mounts=(\S+)$/.exec(line.trimEnd()) ?? [];
  const said = new Map([...statesOf(nics), ...statesOf(mounts)]);
  const wanted = [
    ...asked.nics.map(({ name, fixed }) => ({ name, key: name, address: fixed?.address.split('/')[0] })),
    ...asked.mounts.map(({ path }) => ({ name: path, key: percentEncoded(path), address: undefined })),
  ];
  const failed = wanted.filter(({ key, address }) => {
    const state = said.get(key);
    return state === 'failed' || (state !== undefined && address !== undefined && state.split('/')[0] !== address);
  });
  if (failed.length > 0)
    return {
      status: 'False',
      reason: 'ConfigurationFailed',
      message: `The guest could not apply ${listed(failed)}: its console says why`,
    };
  const missing = wanted.filter(({ key }) => !said.has(key));
  if (missing.length > 0) return unknown(`The guest said that it is configured, but nothing of ${listed(missing)}`);
  return { status: 'True', reason: 'Configured', message: `The guest has applied ${namesOf(asked)}` };
}

/** `a:rw,b:failed` */
const statesOf = (list: string): readonly (readonly [string, string])[] =>
  list.split(',').map((item) => {
    const at = item.lastIndexOf(':');
    return [item.slice(0, at), item.slice(at + 1)];
  });

const unknown = (message: string): GuestReport => ({ status: 'Unknown', reason: 'NotReported', message });

const listed = (things: readonly { readonly name: string }[]): string =>
  things.map(({ name }) => shorten(name)).join(', ');

const namesOf = ({ nics, mounts }: AskedOfGuest): string =>
  listed([...nics, ...mounts.map(({ path }) => ({ name: path }))]);
