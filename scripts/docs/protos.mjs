import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { proofOf } from '../../test/conformance/fields.ts';
import { MORE_PATIENCE, PATIENCE, ROOT, Stop } from '../steps.mjs';
import { cell, code, table } from './markdown.mjs';

const BUF_MS = 120_000 * PATIENCE;

/** The protos, with their comments, as files of descriptors. */
export function descriptors() {
  const { status, error, stdout, stderr } = spawnSync(
    join(ROOT, 'node_modules/.bin/buf'),
    ['build', '-o', '-#format=binpb'],
    {
      cwd: ROOT,
      maxBuffer: 64 << 20,
      timeout: BUF_MS,
    },
  );
  if (error?.code === 'ETIMEDOUT') throw new Stop(`buf build did not end in ${BUF_MS / 1_000} s; ${MORE_PATIENCE}`);
  if (status !== 0) throw new Stop(`buf build failed: ${stderr}`);
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, stdout));
}

/** The comment above a thing, by its path of field numbers (descriptor.proto, SourceCodeInfo.Location). */
export function commentOf(file, path) {
  const key = path.join();
  const found = file.proto.sourceCodeInfo?.location.find((location) => location.path.join() === key);
  return (found?.leadingComments ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => !line.startsWith('TODO'))
    .join('\n')
    .trim();
}

/** The numbers of fields in descriptor.proto. */
export const PATH = { fileMessage: 4, fileService: 6, message: 3, enum: 4, field: 2, value: 2, method: 2 };

function pathOf(desc) {
  const siblings = desc.parent ? (desc.kind === 'enum' ? desc.parent.nestedEnums : desc.parent.nestedMessages) : [];
  // Maps are messages of their own in the proto, and counted.
  const all =
    desc.parent && desc.kind === 'message' ? desc.parent.proto.nestedType.map((type) => type.name) : undefined;
  if (!desc.parent) return [PATH.fileMessage, desc.file.messages.indexOf(desc)];
  const index = all ? all.indexOf(desc.proto.name) : siblings.indexOf(desc);
  return [...pathOf(desc.parent), desc.kind === 'enum' ? PATH.enum : PATH.message, index];
}

const SCALARS = [
  '',
  'double',
  'float',
  'int64',
  'uint64',
  'int32',
  'fixed64',
  'fixed32',
  'bool',
  'string',
  '',
  '',
  'bytes',
];

/** A type as it is written in the proto, linked where the page has it. */
function typeText(field, known) {
  const one = (scalar, desc) => {
    if (!desc) return SCALARS[scalar] ?? 'scalar';
    return known.has(desc.typeName) ? `[${desc.name}](#${anchor(desc)})` : desc.name;
  };
  if (field.fieldKind === 'list') return `list of ${one(field.scalar, field.message ?? field.enum)}`;
  if (field.fieldKind === 'map') return `map of string to ${one(field.scalar, field.message ?? field.enum)}`;
  return `${one(field.scalar, field.message ?? field.enum)}${field.proto.proto3Optional ? ', optional' : ''}`;
}

export const anchor = (desc) => desc.name.toLowerCase();

/** Where the promise of a field is proved, as the last cell of its row. */
function proofCell(message, field) {
  const proof = proofOf(`${message.name}.${field.name}`);
  if (!proof) return '';
  if ('other' in proof) return proof.other.endsWith('.ts') ? code(proof.other) : proof.other;
  return proof.rows.map((row) => `[${row.split('/')[1]}](conformance.md#${row.split('/')[0]})`).join(', ');
}

/** @param isProved - whether its fields have a last column that says how */
export function messageSection(message, known, level, isProved = false) {
  const path = pathOf(message);
  const rows = message.fields.map((field, i) => [
    code(field.name),
    typeText(field, known),
    String(field.number),
    cell(commentOf(message.file, [...path, PATH.field, i])),
    ...(isProved ? [proofCell(message, field)] : []),
  ]);
  const parts = [`${'#'.repeat(level)} ${message.name}\n`, `${commentOf(message.file, path)}\n`];
  const head = ['field', 'type', 'tag', 'meaning', ...(isProved ? ['proved by'] : [])];
  if (rows.length > 0) parts.push(table(head, rows));
  for (const inner of message.nestedEnums) {
    const at = pathOf(inner);
    const values = inner.values.map((value, i) => [
      code(value.name),
      String(value.number),
      cell(commentOf(inner.file, [...at, PATH.value, i])),
    ]);
    parts.push(
      `${'#'.repeat(level + 1)} ${inner.name}\n`,
      `${commentOf(inner.file, at)}\n`,
      table(['value', 'number', 'meaning'], values),
    );
  }
  return parts.join('\n');
}

export function namesIn(messages) {
  return new Set(
    messages.flatMap((message) => [message.typeName, ...message.nestedEnums.map((inner) => inner.typeName)]),
  );
}
