import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack, timestampFromMs } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sampleVm } from '../../../test/support/fake-services.ts';
import { entry, type Wire, wireBytes } from '../../../test/support/wire-bytes.ts';
import { CreateMicroVMRequestSchema as DropinRequest } from '../../gen/dropin/services/microvms_pb.ts';
import { MicroVMSpecSchema } from '../../gen/dropin/types/microvm_pb.ts';
import { CreateMicroVMRequestSchema, WaitMicroVMRequestSchema } from '../../gen/flintlock/microvm/v1/microvms_pb.ts';
import { MicroVMSchema } from '../../gen/types/microvm_pb.ts';
import { vmToWire } from '../native/to-wire.ts';
import { checkBytes } from './strict-bytes.ts';

describe('passes', () => {
  test('every field of a record, and messages of others', () => {
    checkBytes(MicroVMSchema, toBinary(MicroVMSchema, vmToWire(sampleVm())));
    const packed = anyPack(MicroVMSchema, vmToWire(sampleVm()));
    checkBytes(DropinRequest, toBinary(DropinRequest, create(DropinRequest, { metadata: { a: packed } })));
    const wait = create(WaitMicroVMRequestSchema, { uid: 'u', until: 1, timeout: { seconds: 5n, nanos: 1 } });
    checkBytes(WaitMicroVMRequestSchema, toBinary(WaitMicroVMRequestSchema, wait));
    const spec = create(MicroVMSpecSchema, { createdAt: timestampFromMs(5), labels: { a: '' } });
    checkBytes(MicroVMSpecSchema, toBinary(MicroVMSpecSchema, spec));
  });

  test('unknown fields of every form, and entries without key or value', () => {
    const unknown: Wire = [
      [18, 'text'],
      [900, 1],
      [3, []],
      [3, [[1, 'key']]],
      [3, [[2, 'value']]],
    ];
    checkBytes(MicroVMSpecSchema, wireBytes(unknown));
    checkBytes(MicroVMSpecSchema, Uint8Array.from([0x95, 0x38, 1, 2, 3, 4])); // a 32-bit value of field 898
  });

  test('what is no message at all: the library says so', () => {
    checkBytes(MicroVMSpecSchema, Uint8Array.from([0xff, 0xff, 0xff, 0xff]));
    checkBytes(MicroVMSpecSchema, Uint8Array.from([0x0a, 0x7f, 1]));
  });
});

test.each<[string, Wire, string]>([
  ['a number for a text', [[1, [[1, 5]]]], 'microvm.id: is sent as a number, and is a text'],
  ['a text for a number', [[1, [[4, 'x']]]], 'microvm.vcpu: is sent as a text or message, and is a number'],
  ['a number for a message', [[1, [[6, 1]]]], 'microvm.kernel: is sent as a number, and is a Kernel'],
  [
    'a text for an enum',
    [
      [
        1,
        [
          [10, []],
          [10, [[2, 'TAP']]],
        ],
      ],
    ],
    'microvm.interfaces[1].type: is sent as a text',
  ],
  ['a text for a message', [[1, [[8, [[4, '/']]]]]], 'microvm.root_volume.source: cannot be read'],
  ['a text for an entry', [[1, [[6, [[2, 'quiet']]]]]], 'microvm.kernel.cmdline: is no pair'],
  [
    'an entry with a number',
    [
      [
        1,
        [
          [
            3,
            [
              [1, 'a'],
              [2, 5],
            ],
          ],
        ],
      ],
    ],
    'microvm.labels: is no pair of a key and a value',
  ],
  [
    'an entry with a third part',
    [
      [
        1,
        [
          [
            3,
            [
              [1, 'a'],
              [3, 'b'],
            ],
          ],
        ],
      ],
    ],
    'microvm.labels: is no pair',
  ],
  ['a reserved field', [[1, [[21, 'qemu']]]], 'microvm.21: is a field of another API'],
  [
    'a text in an Any',
    [
      [
        2,
        [
          [1, 'k'],
          [2, [[1, 7]]],
        ],
      ],
    ],
    'metadata.type_url: is sent as a number',
  ],
])('%s is refused by its name', (_, message, words) => {
  expect(() => checkBytes(DropinRequest, wireBytes(message))).toThrow(words);
});

test('metadata with a name alone is an interface of the other API', () => {
  const spec = (further: Wire): Uint8Array => wireBytes([[1, [[10, further]]]]);
  checkBytes(CreateMicroVMRequestSchema, spec(entry('eth1', '')));
  expect(() => checkBytes(CreateMicroVMRequestSchema, spec([[1, 'eth1']]))).toThrow('metadata: has a key and no value');
});

test('whatever the bytes are, it ends with nothing or a Fault', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        checkBytes(DropinRequest, bytes);
      } catch (error) {
        expect(error).toMatchObject({ kind: 'invalid' });
      }
    }),
  );
  const deep = (depth: number): Wire => (depth === 0 ? [] : [[1, deep(depth - 1)]]);
  checkBytes(DropinRequest, wireBytes(deep(300)).subarray(0, 400));
});
