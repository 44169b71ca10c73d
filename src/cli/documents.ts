import { fromJson } from '@bufbuild/protobuf';
import { parseAllDocuments } from 'yaml';
import { errorMessage } from '../base/error-text.ts';
import { type MicroVMSpec, MicroVMSpecSchema } from '../gen/types/microvm_pb.ts';
import { EXIT, Problem } from './exit.ts';
import { JsonSpec } from './json-spec.ts';
import { printable } from './print/style.ts';

/** A spec, and where it came from. */
export interface SpecDocument {
  /** `spec.yaml`, or where there are several `spec.yaml, document 2`. */
  readonly from: string;
  readonly spec: MicroVMSpec;
}

/** What a spec may be wrapped in. */
const WRAPPERS = ['spec', 'microvm'];

/**
 * Reads YAML or JSON: one spec a document, as it is or below `spec:` or `microvm:`; empty documents are left out.
 *
 * @param source - the file's name, for messages
 * @throws Problem `usage` with all that is wrong in all documents
 */
export function parseSpecs(text: string, source: string): SpecDocument[] {
  const documents = [...parseAllDocuments(text)].map((document, i, all) => ({
    document,
    from: all.length > 1 ? `${source}, document ${i + 1}` : source,
  }));
  const wrong: string[] = [];
  const found: SpecDocument[] = [];
  for (const { document, from } of documents) {
    const faults = [...document.errors, ...document.warnings];
    if (faults.length > 0) {
      wrong.push(...faults.map(({ message }) => `${from}: ${message.split('\n')[0]?.replace(/:$/, '')}`));
      continue;
    }
    try {
      const value = unwrap(document.toJS({ maxAliasCount: 100 }));
      if (value === null || value === undefined) continue;
      const json = new JsonSpec();
      const made = json.message(MicroVMSpecSchema, value, '');
      if (json.wrong.length === 0) found.push({ from, spec: fromJson(MicroVMSpecSchema, made) });
      else wrong.push(...json.wrong.map((line) => (documents.length > 1 ? `${from}: ${line}` : line)));
    } catch (error) {
      wrong.push(`${from}: ${errorMessage(error)}`);
    }
  }
  const hints = ['The fields are those of MicroVMSpec in proto/types/microvm.proto.'];
  if (wrong.length > 0)
    throw new Problem(EXIT.usage, `The spec in ${source} is malformed`, {
      details: wrong.map((w) => printable(w)),
      hints,
    });
  if (found.length === 0) throw new Problem(EXIT.usage, `There is no spec in ${source}: it is empty`, { hints });
  return found;
}

function unwrap(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const [entry, ...others] = Object.entries(value);
  return entry && others.length === 0 && WRAPPERS.includes(entry[0]) ? entry[1] : value;
}
