import {
  create,
  createRegistry,
  type DescMessage,
  fromJsonString,
  type MessageInitShape,
  type MessageShape,
  toJsonString,
} from '@bufbuild/protobuf';
import type { FastifyReply } from 'fastify';
import { errorMessage } from '../../base/error-text.ts';
import { Fault } from '../../domain/fault.ts';
import { shorten } from '../../domain/labels.ts';
import { BadRequestSchema, ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts';
import { rpcStatus, type WireError } from '../status.ts';
import { unquoted } from '../unquoted.ts';

const JSON_TYPE = 'application/json; charset=utf-8';
/** The details of errors: without it they could not be written. */
const registry = createRegistry(BadRequestSchema, ErrorInfoSchema);

/**
 * Protobuf's JSON mapping: names in camel case, 64-bit numbers and times as
 * strings, bytes in base64, enums by name; fields at their default are
 * written too, so that a reader of `get` sees every field there is.
 */
export function jsonOf<S extends DescMessage>(desc: S, message: MessageInitShape<S>): string {
  return toJsonString(desc, create(desc, message), { alwaysEmitImplicit: true, registry });
}

/** A body that begins with a byte order mark, as some editors and shells write one, is read without it (RFC 8259 section 8.1). */
export const withoutMark = (body: string): string => body.replace(/^\ufeff/, '');

/**
 * Reads a body. Names in camel and snake case are taken; unknown and
 * repeated ones are not.
 *
 * @throws Fault `invalid`
 */
export function messageOf<S extends DescMessage>(desc: S, body: unknown): MessageShape<S> {
  if (typeof body !== 'string' || body.trim() === '')
    throw new Fault('invalid', `Cannot read the request: its body must hold a ${desc.name} as JSON`);
  try {
    return fromJsonString(desc, body, { ignoreUnknownFields: false });
  } catch (cause) {
    // A hostile body may overflow the stack in the making of the message itself.
    const why = cause instanceof RangeError ? 'it is nested too deeply' : reasonOf(cause);
    const unknown = /^cannot decode message (\S+) from JSON: key "(.*)" is unknown$/.exec(reasonOf(cause));
    const violations = unknown
      ? [{ field: shorten(unknown[2] ?? ''), description: `is no field of ${(unknown[1] ?? '').split('.').at(-1)}` }]
      : [];
    throw new Fault('invalid', `Cannot read the body as ${desc.name}: ${short(plainly(why))}`, { cause, violations });
  }
}

/** Of a message's name clients know the last part: what stands before it says where the generated code lies. */
const plainly = (why: string): string =>
  why.replaceAll(/\b(?:flintlock\.[a-z0-9.]+|microvm\.services\.api\.v1alpha1)\.([A-Z]\w*)/g, '$1');
const reasonOf = (cause: unknown): string => unquoted(errorMessage(cause));
const short = (text: string): string => (text.length > 300 ? `${text.slice(0, 300)}…` : text).replace(/\p{Cc}/gu, '?');

export function sendMessage<S extends DescMessage>(
  reply: FastifyReply,
  desc: S,
  message: MessageInitShape<S>,
  status = 200,
): FastifyReply {
  return reply.code(status).type(JSON_TYPE).send(jsonOf(desc, message));
}

/** An error's body: google.rpc.Status as `{code, message, details}`. */
export function sendError(reply: FastifyReply, error: WireError): FastifyReply {
  return reply.code(error.http).type(JSON_TYPE).send(errorJson(error));
}

export const errorJson = (error: WireError): string => jsonOf(StatusSchema, rpcStatus(error));
