import {
  create,
  createRegistry,
  type DescFile,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type Registry,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { file_google_rpc_error_details } from '../../gen/google/rpc/error_details_pb.ts';
import {
  ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import * as v1alpha from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { type Served, served } from '../served.ts';

type Question = ServerReflectionRequest['messageRequest'];
type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>['messageResponse']>;

/**
 * gRPC reflection, v1 and v1alpha: tools that have no protos (grpcurl) ask
 * for them here. Both versions have the same messages on the wire.
 *
 * @param described - what is told of; reflection itself is added
 * @see https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
 */
export function reflection(described: readonly DescService[]): readonly Served[] {
  const services = [...described, ServerReflection, v1alpha.ServerReflection];
  const files = new Map<string, DescFile>();
  for (const service of services) addWithImports(service.file, files);
  // No call has them in its messages: they come in grpc-status-details-bin, and are bytes to who cannot ask what they are.
  addWithImports(file_google_rpc_error_details, files);
  const answer = answerer(services, files, createRegistry(...files.values()));
  const respond = (originalRequest: ServerReflectionRequest): ServerReflectionResponse => {
    const { host: validHost, messageRequest } = originalRequest;
    const messageResponse = answer(messageRequest);
    return create(ServerReflectionResponseSchema, { validHost, originalRequest, messageResponse });
  };
  return [
    served(ServerReflection, {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) yield respond(request);
      },
    }),
    served(v1alpha.ServerReflection, {
      async *serverReflectionInfo(requests) {
        for await (const request of requests) {
          const same = fromBinary(
            ServerReflectionRequestSchema,
            toBinary(v1alpha.ServerReflectionRequestSchema, request),
          );
          const response = toBinary(ServerReflectionResponseSchema, respond(same));
          yield fromBinary(v1alpha.ServerReflectionResponseSchema, response);
        }
      },
    }),
  ];
}

function answerer(services: readonly DescService[], files: ReadonlyMap<string, DescFile>, registry: Registry) {
  const names = services.map(({ typeName }) => ({ name: typeName }));
  return (question: Question): Answer => {
    switch (question.case) {
      case 'listServices':
        return { case: 'listServicesResponse', value: { service: names } };
      case 'fileByFilename':
        return filesAnswer(files.get(withoutSuffix(question.value)), question.value);
      case 'fileContainingSymbol':
        return filesAnswer(fileOf(question.value, registry), question.value);
      case 'fileContainingExtension': {
        const { containingType, extensionNumber } = question.value;
        return filesAnswer(undefined, `extension ${extensionNumber} of ${containingType}`);
      }
      case 'allExtensionNumbersOfType':
        return registry.getMessage(question.value)
          ? { case: 'allExtensionNumbersResponse', value: { baseTypeName: question.value } }
          : notFound(question.value);
      case undefined:
        return failure(Code.InvalidArgument, 'The reflection request asks nothing');
      default:
        return question satisfies never;
    }
  };
}

/** Descriptions name a file without `.proto`. */
const withoutSuffix = (name: string): string => name.replace(/\.proto$/, '');

function addWithImports(file: DescFile, files: Map<string, DescFile>): void {
  if (files.has(file.name)) return;
  files.set(file.name, file);
  for (const imported of file.dependencies) addWithImports(imported, files);
}

/** A symbol may be a method, field or enum value too: then the file is its parent's. */
function fileOf(symbol: string, registry: Registry): DescFile | undefined {
  for (let name = symbol; name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('.')))) {
    const found = registry.get(name);
    if (found) return holds(found, symbol.slice(name.length + 1)) ? found.file : undefined;
  }
  return undefined;
}

function holds(parent: NonNullable<ReturnType<Registry['get']>>, member: string): boolean {
  if (member === '') return true;
  switch (parent.kind) {
    case 'service':
      return parent.methods.some(({ name }) => name === member);
    case 'message':
      return parent.fields.some(({ name }) => name === member) || parent.oneofs.some(({ name }) => name === member);
    case 'enum':
      return parent.values.some(({ name }) => name === member);
    case 'extension':
      return false;
    default:
      return parent satisfies never;
  }
}

/** The file and all that it imports, so that one question is enough. */
function filesAnswer(file: DescFile | undefined, asked: string): Answer {
  if (!file) return notFound(asked);
  const all = new Map<string, DescFile>();
  addWithImports(file, all);
  const fileDescriptorProto = [...all.values()].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto } };
}

const notFound = (asked: string): Answer => failure(Code.NotFound, `${asked} not found`);
const failure = (errorCode: Code, errorMessage: string): Answer => ({
  case: 'errorResponse',
  value: { errorCode, errorMessage },
});
