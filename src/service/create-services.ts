import { attachConsole } from './attach-console.ts';
import { cordonHost, uncordonHost } from './cordon.ts';
import { create, planCreate } from './create.ts';
import { remove } from './delete.ts';
import { agentInfo, exec, sshProxy } from './exec.ts';
import { fileServices } from './files.ts';
import { find } from './find.ts';
import { forward } from './forward.ts';
import { listImages } from './images-list.ts';
import { pullImage } from './images-pull.ts';
import { pruneImages, removeImage } from './images-remove.ts';
import { info } from './info.ts';
import { list } from './list.ts';
import type { ServiceParts } from './needs.ts';
import { power } from './power-verbs.ts';
import { readConsole } from './read-console.ts';
import type { Services } from './services.ts';
import { KeptForm, showing } from './shown.ts';
import { statistics } from './statistics.ts';
import { planUpdate, update } from './update.ts';
import { view } from './view.ts';
import { wait } from './wait.ts';
import { watch } from './watch.ts';

/** The verbs, for every surface alike: each takes of the parts what it needs. */
export function createServices(parts: ServiceParts): Services {
  return {
    create: (draft, options) => create(parts, draft, options),
    planCreate: (draft, options) => planCreate(parts, draft, options),
    update: async (request) => update(parts, request),
    planUpdate: async (request) => planUpdate(parts, request),
    get: async (target, { showDeleted }) => view(find(parts.store, target, showDeleted), parts),
    delete: (target) => remove(parts, target),
    list: async (request) =>
      list(
        parts.store,
        request,
        showing(parts, (vm) => vm),
      ),
    listIn: (form) => {
      const { show } = new KeptForm(parts, form);
      return async (request) => list(parts.store, request, show);
    },
    watch: (request, signal, room) => watch(parts, request, signal, room),
    wait: (request, signal) => wait(parts, request, signal),
    power: (verb, request, signal) => power(parts, verb, request, signal),
    readConsole: (request, signal) => readConsole(parts, request, signal),
    attachConsole: (request, typed, signal) => attachConsole(parts, request, typed, signal),
    exec: (request, input, signal) => exec(parts, request, input, signal),
    sshProxy: ({ uid }, input, signal) => sshProxy(parts, uid, input, signal),
    forward: ({ uid, target }, input, signal) => forward(parts, uid, target, input, signal),
    statistics: ({ uid, ...wanted }, signal) => statistics(parts, uid, wanted, signal),
    agentInfo: ({ uid }, signal) => agentInfo(parts, uid, signal),
    ...fileServices(parts),
    info: () => info(parts),
    cordonHost: async (reason) => cordonHost(parts, reason),
    uncordonHost: async () => uncordonHost(parts),
    audit: (options, signal) => parts.audit(options, signal),
    listImages: () => listImages(parts),
    pullImage: (request, signal) => pullImage(parts, request, signal),
    removeImage: (image) => removeImage(parts, image),
    pruneImages: () => pruneImages(parts),
  };
}
