import { create, type DescField, type DescMessage, type Message, ScalarType } from '@bufbuild/protobuf';
import fc, { type Arbitrary } from 'fast-check';

type Init = Record<string, unknown>;

/** Texts that have broken programs before, beside names that are real here. */
const HOSTILE = [
  ...['', ' ', '.', '..', '/', '../../../etc/shadow', '/etc/passwd', 'a/b', 'a\0b', '\u202e', '\ud7ff', '💥', '\r\n'],
  ...['__proto__', 'constructor', 'toString', 'null', 'undefined', '0', '-1', 'NaN', 'default', 'true'],
  ...['%s%n', '%00', '$(reboot)', '`id`', "' OR 1=1 --", '"', '\\', '{{7*7}}', '<a>', '--help', '-rf', '*', '?'],
  ...['oci:/etc:x', 'oci-archive:/etc/passwd:x', 'oci::', 'docker://x', 'registry.invalid/x:1', 'x@sha256:00'],
  ...['a=b', 'a in (b', 'a notin (b,c),!d', '!', 'a==,', 'latest', 'eth0', 'lo', '52:54:00:00:00:01', '10.77.0.2'],
  ...['10.77.0.1/24', '::1', '255.255.255.255', 'qemu.acpi', 'qemu', 'user-data', 'aGVsbG8=', 'a'.repeat(64)],
];
const LONG = ['x'.repeat(5_000), '/'.repeat(3_000), '../'.repeat(2_000), 'é'.repeat(20_000), ','.repeat(10_000)];

export interface Words {
  /** Uids, ids, cursors that mean something to the daemon. */
  readonly known: readonly string[];
}

const text = ({ known }: Words): Arbitrary<string> =>
  fc.oneof(
    { weight: 40, arbitrary: fc.constantFrom(...known) },
    { weight: 50, arbitrary: fc.constantFrom(...HOSTILE) },
    { weight: 20, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
    { weight: 20, arbitrary: fc.string({ maxLength: 30 }) },
    { weight: 3, arbitrary: fc.constantFrom(...LONG) },
  );

const I32 = [0, 1, 2, 3, 64, 96, 128, -1, 1 << 20, 2 ** 31 - 1, -(2 ** 31)];
const I64 = [0n, 1n, -1n, 1_000n, 2n ** 31n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)];
const int = (min: number, max: number): Arbitrary<number> =>
  fc.oneof(fc.constantFrom(...I32.filter((n) => n >= min && n <= max)), fc.integer({ min, max }));
const long = (min: bigint, max: bigint): Arbitrary<bigint> =>
  fc.oneof(fc.constantFrom(...I64.filter((n) => n >= min && n <= max)), fc.bigInt({ min, max }));

function scalar(type: ScalarType, words: Words): Arbitrary<unknown> {
  switch (type) {
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.STRING:
      return text(words);
    case ScalarType.BYTES:
      return fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.constant(new Uint8Array(100_000)));
    case ScalarType.DOUBLE:
      return fc.double();
    case ScalarType.FLOAT:
      return fc.float();
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return int(0, 2 ** 32 - 1);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return long(0n, 2n ** 64n - 1n);
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return long(-(2n ** 63n), 2n ** 63n - 1n);
    default:
      return int(-(2 ** 31), 2 ** 31 - 1);
  }
}

/** So deep messages nest; below it they are empty. */
const DEPTH = 4;

/** Any message of a type, as what `create` takes: a field each in half of them. */
export function initOf(desc: DescMessage, words: Words, depth = DEPTH): Arbitrary<Init> {
  if (depth === 0) return fc.constant({});
  const alone = desc.fields.filter((field) => !field.oneof);
  const entries = alone.map((field) => [
    field.localName,
    fc.option(fieldValue(field, words, depth), { nil: undefined }),
  ]);
  const choices = desc.oneofs.map((oneof) => {
    const cases = oneof.fields.map((field) =>
      fieldValue(field, words, depth).map((value) => ({ case: field.localName, value })),
    );
    return [oneof.localName, fc.option(fc.oneof(...cases), { nil: undefined })];
  });
  const record: Arbitrary<Init> = fc.record(Object.fromEntries([...entries, ...choices]));
  return record.map((init) => Object.fromEntries(Object.entries(init).filter(([, value]) => value !== undefined)));
}

function fieldValue(field: DescField, words: Words, depth: number): Arbitrary<unknown> {
  switch (field.fieldKind) {
    case 'scalar':
      return scalar(field.scalar, words);
    case 'enum':
      return fc.oneof(
        fc.constantFrom(...field.enum.values.map(({ number }) => number)),
        fc.constantFrom(-1, 99, 2 ** 31 - 1),
      );
    case 'message':
      return initOf(field.message, words, depth - 1);
    case 'list': {
      const one =
        field.listKind === 'message'
          ? initOf(field.message, words, depth - 1)
          : field.listKind === 'enum'
            ? fc.constantFrom(...field.enum.values.map(({ number }) => number))
            : scalar(field.scalar, words);
      const many = one.map((value) => Array.from({ length: 300 }, () => value));
      return fc.oneof({ weight: 20, arbitrary: fc.array(one, { maxLength: 3 }) }, { weight: 1, arbitrary: many });
    }
    default: {
      const value =
        field.mapKind === 'message'
          ? initOf(field.message, words, depth - 1)
          : field.mapKind === 'enum'
            ? fc.constantFrom(0, 1, 99)
            : scalar(field.scalar, words);
      // "__proto__" as a key of an object literal would be no key of it.
      const key = text(words).filter((name) => name !== '__proto__');
      return fc.array(fc.tuple(key, value), { maxLength: 4 }).map((pairs) => Object.fromEntries(pairs));
    }
  }
}

/** A spec that is valid but for its images, which no registry here has. */
const VALID_SPEC: Init = {
  id: 'fuzz',
  vcpu: 1,
  memoryInMb: 64,
  kernel: { image: 'registry.invalid/kernel:1' },
  volumes: [{ id: 'root', isRoot: true, source: { containerSource: 'registry.invalid/root:1' } }],
  interfaces: [{ guestDeviceName: 'eth0', type: 1 }],
};

/** Messages of a type, and, where a spec is in it, valid ones with a field or two that are not. */
export function messageOf(desc: DescMessage, words: Words): Arbitrary<Message> {
  const any = initOf(desc, words);
  const holder = desc.fields.find((f) => f.fieldKind === 'message' && f.message.name === 'MicroVMSpec');
  if (holder?.fieldKind !== 'message') return any.map((init) => create(desc, init));
  const id = fc.constantFrom('fuzz', 'other', '', 'a');
  const nearly = fc
    .tuple(any, initOf(holder.message, words), id, fc.subarray(Object.keys(VALID_SPEC), { maxLength: 2 }))
    .map(([around, wild, id, wrong]) => {
      const changes = Object.fromEntries(wrong.filter((key) => key in wild).map((key) => [key, wild[key]]));
      return { ...around, [holder.localName]: { ...VALID_SPEC, id, ...changes } };
    });
  return fc.oneof(any, nearly).map((init) => create(desc, init));
}
