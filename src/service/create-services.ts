import { attachConsole } from './attach-console.ts';
import { readConsole } from './console.ts';
import { type ServiceContext, view } from './context.ts';
import { cordonHost, uncordonHost } from './cordon.ts';
import { create, planCreate } from './create.ts';
import { remove } from './delete.ts';
import { find } from './find.ts';
import { listImages } from './images-list.ts';
import { pullImage } from './images-pull.ts';
import { pruneImages, removeImage } from './images-remove.ts';
import { info } from './info.ts';
import { list } from './list.ts';
import { power } from './power.ts';
import type { Services } from './services.ts';
import { planUpdate, update } from './update.ts';
import { wait } from './wait.ts';
import { watch } from './watch.ts';

/** The verbs, for every surface alike. */
export function createServices(context: ServiceContext): Services {
  return {
    create: (draft, options) => create(context, draft, options),
    planCreate: (draft, options) => planCreate(context, draft, options),
    update: async (request) => update(context, request),
    planUpdate: async (request) => planUpdate(context, request),
    get: async (target, { showDeleted }) => view(find(context.store, target, showDeleted), context),
    delete: (target) => remove(context, target),
    list: async (request) => list(context, request),
    watch: (request, signal, room) => watch(context, request, signal, room),
    wait: (request, signal) => wait(context, request, signal),
    power: (verb, request, signal) => power(context, verb, request, signal),
    readConsole: (request, signal) => readConsole(context, request, signal),
    attachConsole: (request, typed, signal) => attachConsole(context, request, typed, signal),
    info: () => info(context),
    cordonHost: async (reason) => cordonHost(context, reason),
    uncordonHost: async () => uncordonHost(context),
    audit: (options, signal) => context.audit(options, signal),
    listImages: () => listImages(context),
    pullImage: (request, signal) => pullImage(context, request, signal),
    removeImage: (image) => removeImage(context, image),
    pruneImages: () => pruneImages(context),
  };
}
