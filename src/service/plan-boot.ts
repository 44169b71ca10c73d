import { TimeLimit } from '../base/time-limit.ts';
import { bootNotes, partitionNotes, releasesOf } from '../domain/boot-notes.ts';
import { Fault } from '../domain/fault.ts';
import { wordsForGuest } from '../domain/guest-words.ts';
import { shorten } from '../domain/labels.ts';
import type { Uid } from '../domain/microvm.ts';
import type { InterfaceSpec, Spec } from '../domain/spec.ts';
import { guestNics } from '../domain/static-address.ts';
import type { BootFilesFound, BootWants } from '../ports/images.ts';
import type { Needs, NeedsOf } from './needs.ts';

/** It reads files of this host, and unpacks a kernel at most. */
const LOOK_MS = 60_000;

export type BootNeeds = NeedsOf<'images', 'cached' | 'bootFiles'> & Needs<'vmms' | 'network' | 'patience'>;

/** As long as what its guest will be told of it. */
const withMac = (nic: InterfaceSpec): InterfaceSpec => ({ mac: '02:00:00:00:00:00', ...nic });

/** Of the right length. */
const LIKELY_UID = '00000000000000000000000000' as Uid;

/** The words that a guest of a spec will be given, as far as their length goes. */
export const likelyWords = ({ network }: Needs<'network'>, spec: Spec): readonly string[] =>
  wordsForGuest(
    { uid: LIKELY_UID, spec, allocation: { interfaces: {} } },
    guestNics(spec.interfaces.map(withMac), { interfaces: {} }, network),
  );

/**
 * Which kernel and initrd a spec would boot, and what a user should know of
 * them and of the machine: as far as their images are here. Nothing is made.
 *
 * @param provider - the one that was chosen for it
 * @returns one line each
 * @throws Fault `invalid` for what is not found, or does not boot, and what the kernel's machine cannot do
 */
export async function planBoot(needs: BootNeeds, spec: Spec, provider: string): Promise<readonly string[]> {
  using time = new TimeLimit(undefined, LOOK_MS * needs.patience);
  const { kernel, initrd } = await find(needs, spec, time.signal);
  const lines = [
    ...(kernel ? [`kernel: ${shown(kernel)} of ${spec.kernel.image}`] : []),
    ...(initrd && spec.initrd ? [`initrd: ${shown(initrd)} of ${spec.initrd.image}`] : []),
    ...bootNotes({ ...(kernel && { kernel }), ...(initrd && { initrd }) }).map((text) => `note: ${text}`),
  ];
  if (!kernel) return lines;
  const vmm = needs.vmms.find(({ name }) => name === provider);
  const wrong = vmm?.check(spec, likelyWords(needs, spec), kernel.facts) ?? [];
  if (wrong.length > 0) throw Fault.invalid(wrong);
  const { chosen = [], warnings = [] } = vmm?.remarks(spec, kernel.facts) ?? {};
  return [
    ...lines,
    ...chosen.map((text) => `note: ${text}`),
    ...warnings.concat(partitionNotes(kernel.facts, spec.volumes)).map((text) => `warning: ${text}`),
  ];
}

async function find({ images }: BootNeeds, spec: Spec, signal: AbortSignal): Promise<BootFilesFound> {
  const wanted = ({ filename }: { readonly filename?: string }) => (filename === undefined ? {} : { filename });
  const look = async (reference: string, wants: BootWants): Promise<BootFilesFound> => {
    try {
      const image = await images.cached(reference, signal);
      return image ? await images.bootFiles(image, wants, { signal, dry: true }) : {};
    } catch (error) {
      throw asViolation(error, spec, wants);
    }
  };
  const isSame = spec.initrd?.image === spec.kernel.image;
  const first = await look(spec.kernel.image, {
    kernel: wanted(spec.kernel),
    ...(spec.initrd && isSame && { initrd: wanted(spec.initrd) }),
  });
  if (!spec.initrd || isSame) return first;
  const releases = first.kernel && releasesOf(first.kernel);
  return {
    ...first,
    ...(await look(spec.initrd.image, { initrd: { ...wanted(spec.initrd), ...(releases && { releases }) } })),
  };
}

/** What is not found is a field of the request that is wrong: nothing else was asked for. */
function asViolation(error: unknown, spec: Spec, wants: BootWants): unknown {
  if (!(error instanceof Fault) || error.kind !== 'not_found') return error;
  const role = error.reason === 'InitrdNotFound' || !wants.kernel ? 'initrd' : 'kernel';
  const isNamed = error.reason !== 'ImageNotFound' && (spec[role]?.filename ?? '') !== '';
  return Fault.invalid([{ field: `${role}.${isNamed ? 'filename' : 'image'}`, description: error.message }]);
}

const shown = ({ filename, release }: { readonly filename: string; readonly release?: string }): string =>
  release === undefined || filename.includes(release) ? shorten(filename) : `${shorten(filename)} (${release})`;
