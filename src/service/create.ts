import type { PassedOver } from '../domain/choose-provider.ts';
import type { SpecDraft } from '../domain/draft.ts';
import type { MicroVm, MicroVmView, Uid } from '../domain/microvm.ts';
import { type AdmitNeeds, admit } from './admit.ts';
import { type Checked, type CheckNeeds, check } from './check-spec.ts';
import { IdempotencyKey, type IdempotencyNeeds } from './idempotency-key.ts';
import type { Needs, NeedsOf } from './needs.ts';
import { type BootNeeds, planBoot } from './plan-boot.ts';
import { planImages } from './plan-images.ts';
import { repeated, requestDigest } from './repeated-create.ts';
import type { CreateOptions, PlannedVm } from './services.ts';
import { unusedUid } from './unused-uid.ts';
import { type ViewNeeds, view, withMetadata } from './view.ts';

type EachNeeds = CheckNeeds &
  AdmitNeeds &
  IdempotencyNeeds &
  NeedsOf<'store', 'metadataOf'> &
  Needs<'transactions' | 'newUid'>;
type CreateNeeds = EachNeeds & ViewNeeds & NeedsOf<'store', 'holder' | 'get'> & Needs<'wake' | 'intend'>;
type PlanNeeds = EachNeeds & BootNeeds & Needs<'plan'>;

/** Accepts a spec: checked, made unique, stored; all else follows when the answer is out. */
export async function create(needs: CreateNeeds, draft: SpecDraft, options: CreateOptions): Promise<MicroVmView> {
  const key = IdempotencyKey.of(needs, draft, options);
  const asStored = (vm: MicroVm): MicroVmView => withMetadata(vm, needs.store.metadataOf(vm));
  const before = key?.answer();
  if (before) return asStored(before);
  // Only where one name may be that of several: elsewhere the name says that it is there.
  const again = options.uniqueId ? undefined : repeated(needs, draft);
  if (again) return view(again, needs);
  const uid = unusedUid(needs);
  let checked: Checked;
  try {
    checked = await check(needs, draft, uid);
  } catch (error) {
    // The same request may have been accepted meanwhile, and what it took be in the way of this one.
    const answered = key?.answer();
    if (answered) return asStored(answered);
    throw error;
  }
  const { vm, isNew } = await needs.transactions.together(() => {
    // The same request may have been accepted beside this one.
    const answered = key?.answer() ?? (options.uniqueId ? undefined : repeated(needs, draft));
    if (answered) return { vm: answered, isNew: false };
    const made = admit(needs, uid, checked, { ...options, request: requestDigest(needs, draft) });
    key?.keep(made);
    needs.intend(made);
    return { vm: made, isNew: true };
  });
  if (isNew) needs.wake.wake(uid);
  return asStored(vm); // without what goes on already: so a later answer is the same
}

/** Throws away what a transaction did, and keeps what it would have stored. */
class Rehearsed extends Error {
  readonly vm: MicroVm;
  constructor(vm: MicroVm) {
    super('a rehearsal ends');
    this.vm = vm;
  }
}

/** As `create`, up to the commit: that one is rolled back. */
export async function planCreate(needs: PlanNeeds, draft: SpecDraft, options: CreateOptions): Promise<PlannedVm> {
  const answered = IdempotencyKey.of(needs, draft, options)?.answer();
  if (answered)
    return {
      vm: withMetadata(answered, needs.store.metadataOf(answered)),
      plan: ['nothing: this idempotency key has its answer already'],
    };
  const uid = unusedUid(needs);
  const checked = await check(needs, draft, uid);
  const images = await planImages(needs, checked.spec);
  const boot = await planBoot(needs, checked.spec, checked.provider);
  try {
    return needs.transactions.transact(() => {
      throw new Rehearsed(admit(needs, uid, checked, { ...options, request: requestDigest(needs, draft) }));
    });
  } catch (error) {
    if (!(error instanceof Rehearsed)) throw error;
    const { vm } = error;
    const plan = [...needs.plan(vm), ...checked.passedOver.map(passedOverText), ...images, ...boot];
    const planned = { ...vm, uid: '' as Uid, version: 0, spec: { ...vm.spec, id: draft.id } };
    return { vm: withMetadata(planned, draft.metadata), plan };
  }
}

const passedOverText = ({ name, unusable, why }: PassedOver): string =>
  `note: not ${name}${unusable ? '' : ', which lacks what is asked'}: ${why}`;
