import { create, createFileRegistry, type DescService, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { createClient, type Transport } from '@connectrpc/connect';
import { ServerReflection, type ServerReflectionRequest } from '../../src/gen/grpc/reflection/v1/reflection_pb.ts';

type Question = ServerReflectionRequest['messageRequest'];

/** Every service that a daemon serves, as it describes them itself: one that is added is fuzzed without a line here. */
export async function servedServices(transport: Transport): Promise<readonly DescService[]> {
  const { serverReflectionInfo } = createClient(ServerReflection, transport);
  const ask = async (questions: readonly Question[]) => {
    const requests = async function* () {
      for (const messageRequest of questions) yield { messageRequest };
    };
    const answers = [];
    for await (const { messageResponse } of serverReflectionInfo(requests())) answers.push(messageResponse);
    return answers;
  };
  const [list] = await ask([{ case: 'listServices', value: '' }]);
  if (list?.case !== 'listServicesResponse') throw new Error('the daemon lists no services');
  const names = list.value.service.map(({ name }) => name);
  const files = await ask(names.map((value) => ({ case: 'fileContainingSymbol', value })));
  const found = new Map<string, Uint8Array>();
  for (const answer of files)
    if (answer?.case === 'fileDescriptorResponse')
      for (const bytes of answer.value.fileDescriptorProto)
        found.set(fromBinary(FileDescriptorProtoSchema, bytes).name, bytes);
  const file = [...found.values()].map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  const registry: FileRegistry = createFileRegistry(create(FileDescriptorSetSchema, { file: inOrder(file) }));
  return names.map((name) => {
    const service = registry.getService(name);
    if (!service) throw new Error(`the daemon does not describe ${name}`);
    return service;
  });
}

/** Imports before what needs them. */
function inOrder<F extends { readonly name: string; readonly dependency: readonly string[] }>(
  files: readonly F[],
): F[] {
  const byName = new Map(files.map((file) => [file.name, file]));
  const done = new Set<F>();
  const add = (file: F): void => {
    for (const name of file.dependency) {
      const needed = byName.get(name);
      if (needed && !done.has(needed)) add(needed);
    }
    done.add(file);
  };
  for (const file of files) add(file);
  return [...done];
}
