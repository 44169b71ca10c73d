import type { Caller } from '../domain/caller.ts';
import { Fault } from '../domain/fault.ts';
import { shorten } from '../domain/labels.ts';
import type { Clock } from '../ports/clock.ts';
import type { ExecInput } from '../ports/guest-agent.ts';
import type { Log } from '../ports/log.ts';
import { notFound } from './find.ts';
import { guardFiles } from './guarded-files.ts';
import type { CreateOptions, Services, Target } from './services.ts';

/** What a verb is worth in the log: what changes something is told always, what only looks is for debugging. */
type Weight = 'changes' | 'reads';

/**
 * The services as one caller may use them, whichever surface it came by; and
 * who did what goes to the log. A caller that is bound to a namespace gets for
 * anything of another the very answer that it would get if it were not there.
 *
 * @param current - whose call it is; without one everything is refused
 */
export function guardServices(
  services: Services,
  current: () => Caller | undefined,
  { log, clock }: { readonly log: Log; readonly clock: Clock },
): Services {
  /** Judged anew at each use: a stream of pages may outlive its token. */
  const enter = (verb: string, weight: Weight): Caller => {
    const caller = current();
    if (!caller) throw new Fault('denied', `Cannot ${verb}: it is not known who calls`);
    caller.withdrawn?.throwIfAborted();
    if (weight === 'changes' && caller.access === 'read-only')
      throw new Fault('denied', `Cannot ${verb}: ${caller.who} is read-only`);
    return caller;
  };

  const tell = (caller: Caller | undefined, weight: Weight, verb: string, what: object, began: number): void => {
    const fields = {
      who: caller?.who ?? 'nobody',
      from: caller?.from,
      ...what,
      ms: Math.round(clock.elapsed() - began),
    };
    if (weight === 'changes') log.info(verb, fields);
    else log.debug(verb, fields);
  };

  /** Runs a verb, and says in the log how it went. */
  const act = async <T>(
    verb: string,
    weight: Weight,
    what: object,
    work: (caller: Caller) => Promise<T>,
    made: (result: T) => object = () => ({}),
  ): Promise<T> => {
    const began = clock.elapsed();
    try {
      const result = await work(enter(verb, weight));
      tell(current(), weight, verb, { ...what, ...made(result), result: 'done' }, began);
      return result;
    } catch (error) {
      tell(current(), weight, verb, { ...what, result: resultOf(error) }, began);
      throw error;
    }
  };

  async function* flow<T>(
    verb: string,
    weight: Weight,
    what: object,
    signal: AbortSignal,
    work: (caller: Caller, signal: AbortSignal) => AsyncIterable<T>,
    told: () => object = () => ({}),
  ): AsyncGenerator<T> {
    const began = clock.elapsed();
    const caller = current();
    let result = 'done';
    try {
      const allowed = enter(verb, weight);
      yield* work(allowed, limited(allowed, signal));
    } catch (error) {
      result = resultOf(error);
      throw error;
    } finally {
      tell(caller, weight, verb, { ...what, ...told(), result }, began);
    }
  }

  const limited = ({ withdrawn }: Caller, signal: AbortSignal): AbortSignal =>
    withdrawn ? AbortSignal.any([signal, withdrawn]) : signal;

  /** @throws Fault `not_found`, in the words of one that is not there */
  const mustSee = async ({ namespace }: Caller, target: Target): Promise<void> => {
    if (namespace === undefined) return;
    if (!target.uid) {
      if ((target.namespace || 'default') !== namespace && target.id) throw notFound(target);
      return;
    }
    const vm = await services.get(target, { showDeleted: true });
    if (vm.spec.namespace !== namespace) throw notFound(target);
  };

  /** A list names a namespace, or all that the caller knows of. */
  const only = (verb: string, { who, namespace: own }: Caller, namespace: string): string => {
    if (own === undefined || namespace === own) return namespace;
    if (namespace === '') return own;
    throw new Fault('denied', `Cannot ${verb}: ${who} is for the namespace "${own}" only`);
  };

  const mustHaveHost = (verb: string, { who, namespace }: Caller): void => {
    if (namespace !== undefined)
      throw new Fault('denied', `Cannot ${verb}: it concerns the whole host, and ${who} is for "${namespace}" only`);
  };

  return {
    create: (draft, options) =>
      act(
        'create microVM',
        'changes',
        named(draft),
        (caller) => {
          only('create', caller, draft.namespace || 'default');
          return services.create(draft, withKeys(caller, options));
        },
        uidOf,
      ),
    planCreate: (draft, options) =>
      act('plan to create microVM', 'reads', named(draft), (caller) => {
        only('create', caller, draft.namespace || 'default');
        return services.planCreate(draft, withKeys(caller, options));
      }),
    update: (request) =>
      act(
        'update microVM',
        'changes',
        named(request.target),
        async (caller) => {
          await mustSee(caller, request.target);
          return services.update(request);
        },
        uidOf,
      ),
    planUpdate: (request) =>
      act('plan to update microVM', 'reads', named(request.target), async (caller) => {
        await mustSee(caller, request.target);
        return services.planUpdate(request);
      }),
    get: (target, options) =>
      act('get microVM', 'reads', named(target), async (caller) => {
        await mustSee(caller, target);
        return services.get(target, options);
      }),
    delete: (target) =>
      act(
        'delete microVM',
        'changes',
        named(target),
        async (caller) => {
          await mustSee(caller, target);
          return services.delete(target);
        },
        uidOf,
      ),
    list: (request) =>
      act('list microVMs', 'reads', { namespace: shorten(request.namespace) }, async (caller) =>
        services.list({ ...request, namespace: only('list', caller, request.namespace) }),
      ),
    listIn: (form) => {
      const inForm = services.listIn(form);
      return (request) =>
        act('list microVMs', 'reads', { namespace: shorten(request.namespace) }, async (caller) =>
          inForm({ ...request, namespace: only('list', caller, request.namespace) }),
        );
    },
    watch: (request, signal, room) =>
      flow('watch microVMs', 'reads', { namespace: shorten(request.namespace) }, signal, (caller, ended) => {
        const namespace = only('watch', caller, request.namespace);
        const events = services.watch({ ...request, namespace }, ended, room);
        return caller.namespace === undefined ? events : withoutRhythm(events);
      }),
    wait: (request, signal) =>
      act('wait for microVM', 'reads', { ...named(request), until: request.until }, async (caller) => {
        await mustSee(caller, request);
        return services.wait(request, limited(caller, signal));
      }),
    power: (verb, request, signal) =>
      act(`${verb} microVM`, 'changes', named(request), async (caller) => {
        await mustSee(caller, request);
        return services.power(verb, request, limited(caller, signal));
      }),
    readConsole: (request, signal) =>
      flow('read console', 'reads', named(request), signal, async function* (caller, ended) {
        await mustSee(caller, request);
        yield* services.readConsole(request, ended);
      }),
    attachConsole: (request, typed, signal) =>
      flow('attach to console', 'changes', named(request), signal, async function* (caller, ended) {
        await mustSee(caller, request);
        yield* services.attachConsole(request, typed, ended);
      }),
    exec: (request, input, signal) => {
      const told = { exit: 'none', bytesIn: 0, bytesOut: 0 };
      // Never its arguments or its environment: they may hold secrets.
      const what = { ...named(request), program: programOf(request.start.command) };
      const counted = countInput(input, (bytes) => (told.bytesIn += bytes));
      return flow(
        'exec in microVM',
        'changes',
        what,
        signal,
        async function* (caller, ended) {
          await mustSee(caller, request);
          for await (const one of services.exec(request, counted, ended)) {
            if (one.is === 'exit') told.exit = String(one.code);
            else told.bytesOut += one.data.length;
            yield one;
          }
        },
        () => told,
      );
    },
    sshProxy: (request, input, signal) => {
      const told = { bytesIn: 0, bytesOut: 0 };
      const counted = counting(input, (bytes) => (told.bytesIn += bytes));
      const work = async function* (caller: Caller, ended: AbortSignal) {
        await mustSee(caller, request);
        yield* counting(services.sshProxy(request, counted, ended), (bytes) => (told.bytesOut += bytes));
      };
      return flow('ssh to microVM', 'changes', named(request), signal, work, () => told);
    },
    forward: (request, input, signal) => {
      const told = { bytesIn: 0, bytesOut: 0 };
      const { uid, target } = request;
      const what = { ...named({ uid }), ...(target.is === 'tcp' ? { port: target.port } : { port: 'unix' }) };
      const counted = counting(input, (bytes) => (told.bytesIn += bytes));
      const work = async function* (caller: Caller, ended: AbortSignal) {
        await mustSee(caller, { uid });
        for await (const one of services.forward(request, counted, ended)) {
          if (one.is === 'data') told.bytesOut += one.data.length;
          yield one;
        }
      };
      return flow('forward to microVM', 'changes', what, signal, work, () => told);
    },
    statistics: (request, signal) =>
      flow('statistics of microVM', 'reads', named({ uid: request.uid }), signal, async function* (caller, ended) {
        await mustSee(caller, { uid: request.uid });
        yield* services.statistics(request, ended);
      }),
    agentInfo: (request, signal) =>
      act('ask guest agent', 'reads', named(request), async (caller) => {
        await mustSee(caller, request);
        return services.agentInfo(request, signal);
      }),
    ...guardFiles(services, { act, flow, mustSee, limited, named }),
    info: () => act('info', 'reads', {}, async (caller) => infoFor(caller)),
    cordonHost: (reason) =>
      act('cordon host', 'changes', { reason: shorten(reason) }, async (caller) => {
        mustHaveHost('cordon the host', caller);
        return services.cordonHost(reason);
      }),
    uncordonHost: () =>
      act('uncordon host', 'changes', {}, async (caller) => {
        mustHaveHost('uncordon the host', caller);
        return services.uncordonHost();
      }),
    audit: (options, signal) =>
      act('audit', options.fix ? 'changes' : 'reads', { fix: options.fix }, async (caller) => {
        mustHaveHost('audit', caller);
        return services.audit(options, limited(caller, signal));
      }),
    listImages: () =>
      act('list images', 'reads', {}, async (caller) => {
        mustHaveHost('list images', caller);
        return services.listImages();
      }),
    pullImage: (request, signal) =>
      flow('pull image', 'changes', { image: shorten(request.reference) }, signal, (caller, ended) => {
        mustHaveHost('pull an image', caller);
        return services.pullImage(request, ended);
      }),
    removeImage: (image) =>
      act('remove image', 'changes', { image: shorten(image) }, async (caller) => {
        mustHaveHost('remove an image', caller);
        return services.removeImage(image);
      }),
    pruneImages: () =>
      act('prune images', 'changes', {}, async (caller) => {
        mustHaveHost('prune images', caller);
        return services.pruneImages();
      }),
  };

  /** What others have of the host is not told. */
  async function infoFor({ namespace }: Caller): ReturnType<Services['info']> {
    const { promised, used, ...info } = await services.info();
    if (namespace === undefined) return { ...info, ...(promised && { promised }), ...(used && { used }) };
    const own = await services.list({ namespace, labelSelector: '', pageSize: 0, pageToken: '', showDeleted: false });
    return { ...info, microvms: own.vms.length };
  }
}

async function* counting(
  pieces: AsyncIterable<Uint8Array>,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of pieces) {
    count(bytes.length);
    yield bytes;
  }
}

async function* countInput(input: AsyncIterable<ExecInput>, count: (bytes: number) => void): AsyncGenerator<ExecInput> {
  for await (const one of input) {
    if (one.is === 'stdin') count(one.data.length);
    yield one;
  }
}

/** A bookmark comes with each change of others: only the first, which says where the stream begins, is passed on. */
async function* withoutRhythm<T extends { readonly type: string; readonly cursor: string }>(
  events: AsyncIterable<T>,
): AsyncGenerator<T> {
  let begun = false;
  for await (const event of events) {
    if (event.type !== 'BOOKMARK') yield event;
    else if (!begun) {
      begun = event.cursor !== ''; // none yet: the listing goes on
      yield event;
    }
  }
}

const withKeys = ({ namespace }: Caller, options: CreateOptions): CreateOptions =>
  namespace === undefined ? options : { ...options, knows: namespace };

/** For the log: the uid where it is known, else the name that it was asked for by. */
const named = ({ uid, namespace, id }: Target): object =>
  uid ? { uid: shorten(uid) } : { vm: shorten(`${namespace || 'default'}/${id ?? ''}`) };
const uidOf = ({ uid }: { readonly uid: string }): object => ({ uid });

const resultOf = (error: unknown): string =>
  error instanceof Fault
    ? `${error.kind}: ${error.message}`.slice(0, 300)
    : error instanceof Error
      ? error.name
      : 'ended';

/** The first word of a command. One for a shell may begin with variables of its own, which are secrets as others are. */
function programOf(command: string): string {
  const word = command.split(/\s/, 1)[0] ?? '';
  return word.includes('=') ? 'sh' : shorten(word);
}
