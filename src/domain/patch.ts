import type { SpecDraft } from './draft.ts';
import { Fault, type Violation } from './fault.ts';
import { shorten } from './labels.ts';
import { checkMetadata, decodedLength, metadataBy, metadataRef } from './metadata-rules.ts';
import type { MicroVm } from './microvm.ts';
import { FIRST_GENERATION, type Metadata, type RestartPolicy, type Spec } from './spec.ts';
import { checkLabels } from './validate.ts';

/** What an update asks for, as a surface received it. */
export interface Patch {
  /** The new values; of its other fields only id and namespace are looked at: they must be the microVM's. */
  readonly draft: SpecDraft;
  /**
   * What changes, in API field names: `labels` and `metadata` (the whole map), `labels.KEY` and `metadata.KEY` (one
   * entry: taken away where the draft has none), `restart_policy`. A key may hold dots, and may stand in backquotes.
   */
  readonly mask: readonly string[];
}

export interface Patched {
  /** The same object when nothing changes. */
  readonly spec: Spec;
  /** All of it, where it changes. */
  readonly metadata?: Metadata;
  /** What changes, one line each, for people. */
  readonly changes: readonly string[];
}

const MAPS = ['labels', 'metadata'] as const;
const POLICIES: readonly RestartPolicy[] = ['ON_FAILURE', 'ALWAYS', 'NEVER'];
const FIXED: ReadonlySet<string> = new Set([
  ...['id', 'namespace', 'vcpu', 'memory_in_mb', 'kernel', 'initrd', 'volumes', 'interfaces'],
  ...['process', 'health_check'],
  ...['provider', 'provider_options', 'pull_policy'],
]);
const OUTPUTS: ReadonlySet<string> = new Set(['uid', 'created_at', 'updated_at', 'deleted_at', 'generation']);
const CHANGEABLE = 'only labels, metadata and restart_policy can be changed';

type Map_ = Readonly<Record<string, string>>;

/**
 * Changes a spec. What is not in the mask stays as it is.
 * @param before - the metadata that it has
 * @throws Fault `invalid` with all that is wrong, at once, in API field names
 */
export function patched(
  { spec, generation }: Pick<MicroVm, 'spec' | 'generation'>,
  before: Metadata,
  { draft, mask }: Patch,
): Patched {
  const wrong: Violation[] = [];
  const bad = (field: string, description: string): void => void wrong.push({ field, description });
  if (draft.id !== '' && draft.id !== spec.id) bad('id', `is "${shorten(spec.id)}", and cannot be changed`);
  if (draft.namespace !== '' && draft.namespace !== spec.namespace)
    bad('namespace', `is "${shorten(spec.namespace)}", and cannot be changed`);
  checkMask(mask, bad);

  const labels = merged('labels', spec.labels, draft.labels, mask);
  const metadata = merged('metadata', before, draft.metadata, mask);
  const restartPolicy = mask.includes('restart_policy')
    ? POLICIES.find((policy) => policy === draft.restartPolicy)
    : spec.restartPolicy;
  if (!restartPolicy) bad('restart_policy', `"${shorten(draft.restartPolicy)}" must be ${POLICIES.join(', ')}`);

  const newLabels = changed(spec.labels, labels);
  const newMetadata = changed(before, metadata);
  if (newLabels.length > 0) checkLabels(labels, bad);
  if (newMetadata.length > 0) checkNewMetadata(spec, metadata, bad);
  if (wrong.length > 0 || !restartPolicy) throw Fault.invalid(wrong);

  const changes = [
    ...newLabels.map((key) =>
      Object.hasOwn(labels, key) ? `labels: set ${key}=${labels[key]}` : `labels: take ${key} away`,
    ),
    ...newMetadata.map((key) =>
      Object.hasOwn(metadata, key)
        ? `metadata: serve ${key} with ${decodedLength(metadata[key] ?? '')} bytes`
        : `metadata: serve ${key} no more`,
    ),
    ...(restartPolicy === spec.restartPolicy
      ? []
      : [`restart_policy: ${restartPolicy} instead of ${spec.restartPolicy}`]),
  ];
  if (changes.length === 0) return { spec, changes };
  const next = { ...spec, labels, restartPolicy };
  if (newMetadata.length === 0) return { spec: next, changes };
  return { spec: withRef(next, metadata, generation + 1), metadata, changes };
}

type Bad = (field: string, description: string) => void;

function checkMask(mask: readonly string[], bad: Bad): void {
  if (mask.length === 0) bad('update_mask', `names nothing to change, and no field is set: ${CHANGEABLE}`);
  for (const path of new Set(mask)) {
    const [field = ''] = path.split('.', 1);
    if (path === 'restart_policy') continue;
    if (MAPS.some((map) => map === path || (field === map && keyOf(path) !== ''))) continue;
    const shown = shorten(path);
    if (FIXED.has(field)) bad(shown, `cannot be changed: ${CHANGEABLE}; delete the microVM and create another`);
    else if (OUTPUTS.has(field)) bad(shown, 'is set by the daemon only');
    else bad('update_mask', `"${shown}" is no field of MicroVMSpec: ${CHANGEABLE}, or labels.KEY and metadata.KEY`);
  }
}

/** Behind the first dot; without backquotes around it. */
const keyOf = (path: string): string => path.slice(path.indexOf('.') + 1).replace(/^`(.*)`$/, '$1');

function merged(field: (typeof MAPS)[number], old: Map_, given: Map_, mask: readonly string[]): Map_ {
  const map = new Map(Object.entries(mask.includes(field) ? given : old));
  for (const path of mask) {
    if (!path.startsWith(`${field}.`)) continue;
    const key = keyOf(path);
    const value = Object.hasOwn(given, key) ? given[key] : undefined;
    if (value === undefined) map.delete(key);
    else map.set(key, value);
  }
  return Object.fromEntries(map);
}

/** The keys whose value is another, or that are in one of the two only. */
function changed(old: Map_, next: Map_): readonly string[] {
  const keys = new Set([...Object.keys(old), ...Object.keys(next)]);
  const at = (map: Map_, key: string): string | undefined => (Object.hasOwn(map, key) ? map[key] : undefined);
  return [...keys].filter((key) => at(old, key) !== at(next, key));
}

function withRef({ metadataRef: _, ...spec }: Spec, metadata: Metadata, generation: number): Spec {
  const named = metadataRef(metadata, generation);
  return named ? { ...spec, metadataRef: named } : spec;
}

function checkNewMetadata(spec: Spec, metadata: Metadata, bad: Bad): void {
  const before = metadataBy(spec);
  const after = metadataBy(withRef(spec, metadata, FIRST_GENERATION));
  // Who asks with tokens is told of the new one; the disk beside it is for cloud-init, which has read it.
  const isToldBeside = before.mmds !== undefined && before.disk === after.disk;
  if (!isToldBeside && (!before.service || before.disk || after.disk)) {
    const isAsked = before.service || before.mmds !== undefined;
    const why = before.disk
      ? 'it is on a disk that was made for the guest'
      : isAsked
        ? 'it would have to be on a disk too, and none was made'
        : 'no interface may ask for it, and no disk was made for it';
    bad('metadata', `cannot be changed: ${why}; create another microVM, with allow_metadata_req on an interface`);
    return;
  }
  checkMetadata(metadata, bad, false, before.mmds !== undefined);
}
