import type { DescMethod, DescService } from '@bufbuild/protobuf';
import type { ConnectRouter, HandlerContext, ServiceImpl } from '@connectrpc/connect';
import { Fault } from '../domain/fault.ts';
import { FLOW } from './flow/flow.ts';

/** One gRPC service with what answers it. */
export interface Served {
  readonly desc: DescService;
  register(router: ConnectRouter): void;
}

/** @param impl - a method that it lacks is UNIMPLEMENTED */
export function served<S extends DescService>(desc: S, impl: Partial<ServiceImpl<S>>): Served {
  return { desc, register: (router) => void router.service(desc, complete(desc, impl)) };
}

type Handler = (request: never, context: HandlerContext) => unknown;

function complete<S extends DescService>(desc: S, impl: Partial<ServiceImpl<S>>): ServiceImpl<S> {
  const built: Readonly<Record<string, Handler | undefined>> = impl;
  const all = desc.methods.map((method): [string, Handler] => {
    const verb = built[method.localName]?.bind(impl) ?? (() => unbuilt(method));
    return [
      method.localName,
      (request, context) => verb(request, Object.assign(context, { room: context.values.get(FLOW) })),
    ];
  });
  // The description names every method of S, and `impl` gives each its own type.
  return Object.fromEntries(all) as ServiceImpl<S>;
}

function unbuilt({ name, parent }: DescMethod): never {
  throw new Fault('unbuilt', `${parent.typeName}.${name} is not built yet in this version`);
}
