import { randomUUID } from 'node:crypto'
import { type TSchema, Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import { getTableConfig, json, type PgColumnBuilderBase, pgTable, text, uuid, varchar } from 'drizzle-orm/pg-core'
import t from 'tap'
import type { Config } from '../../../src/config/config.ts'
import { constraintsOf, deletionOrder, insertionOrder, nameOf, type Rules } from '../../../src/db/constraints.ts'
import { type OnDelete, reference, type Target } from '../../../src/db/reference.ts'
import { ownedTable, ownerId } from '../../../src/db/tables.ts'
import type { ResourceTable } from '../../../src/resource/table.ts'
import { problemOfRemoval, problemOfWrite } from '../../../src/resource/violations.ts'
import { declare, faultsOf as refusalsOf } from '../../support/untyped.ts'

/** The sentences for which a declaration is refused, without the name of the resource. */
const faultsOf = (table: ResourceTable, options: object) =>
  refusalsOf(table, options).map((fault) => fault.replace('The resource "thing": ', ''))

const table = (name: string, columns: Record<string, PgColumnBuilderBase>, rules: Rules = {}) =>
  ownedTable(name, columns, rules) as unknown as ResourceTable & Target

const things = (columns: Record<string, PgColumnBuilderBase>, rules: Rules = {}) => table('things', columns, rules)

const short = Type.String({ maxLength: 10 })
const parents = table('parents', { it: text('it') })

t.test('a reference that cannot be kept is refused (issue 20)', async (t) => {
  const plain = pgTable('plain', { userId: ownerId('user_id').notNull(), id: uuid('id').notNull() })
  const to = (options: { onDelete?: OnDelete } = {}) => reference('it', () => parents, options)
  for (const [column, ...reasons] of [
    [to()],
    [to().notNull()],
    [to({ onDelete: 'clear' })],
    [to({ onDelete: 'cascade' }).notNull()],
    [reference('it', () => plain), 'refers to "plain", which is no ownedTable'],
    [to().default(randomUUID()), 'has a default, and no row is there for every user'],
    [to().$defaultFn(randomUUID), 'has a default, and no row is there for every user'],
    [to({ onDelete: 'clear' }).notNull(), "is not null, so onDelete: 'clear' cannot make it null"]
  ] as [PgColumnBuilderBase, ...string[]][]) {
    t.same(
      faultsOf(things({ it: column }), { members: { it: Type.String() } }),
      reasons.map((reason) => `The member "it" ${reason}.`)
    )
  }
})

t.test('a unique set that PostgreSQL cannot keep is refused (issue 20)', async (t) => {
  const columns = { it: text('it'), other: varchar('other', { length: 900 }), doc: json('doc'), hidden: text('hidden') }
  const all = { it: short, other: Type.String({ maxLength: 500 }), doc: Type.Unknown({ maxBytes: 9, maxDepth: 1 }) }
  const long = (maxLength: number) => ({ it: Type.String({ maxLength }) })
  const label = Type.Union([Type.Literal('x'.repeat(1500)), Type.Literal('y')])
  for (const [unique, members, ...reasons] of [
    [['it'], all],
    [['other'], all],
    [['it'], long(500)],
    [['it'], { it: label }],
    [[], all, '"" has no members'],
    [['hidden'], all, '"hidden" names "hidden", which is no member'],
    [['it', 'lost'], all, '"it,lost" names "lost", which is no member'],
    [['it', 'doc'], all, '"it,doc" names "doc", which has no order'],
    [['it'], long(501), '"it" can have 2004 bytes, and the most is 2000'],
    [['it', 'other'], all, '"it,other" can have 2040 bytes, and the most is 2000']
  ] as [string[], Record<string, TSchema>, ...string[]][]) {
    for (const set of [unique, { members: unique, caseInsensitive: true }]) {
      t.same(
        faultsOf(things(columns, { unique: [set] }), { members }),
        reasons.map((reason) => `The unique set ${reason}.`)
      )
    }
  }
})

t.test('nulls may not be the same where a delete makes them in its own table (issue 20)', async (t) => {
  const refused = (target: (() => Target) | undefined, onDelete: OnDelete, nullsNotDistinct: boolean) => {
    const own: ResourceTable & Target = things(
      { it: reference('it', target ?? ((): Target => own), { onDelete }) },
      { unique: [{ members: ['it'], nullsNotDistinct }] }
    )
    return faultsOf(own, { members: { it: Type.String() } })
  }
  const reason = 'has nullsNotDistinct, so "it" may not be cleared by a delete in its own table'
  t.same(refused(undefined, 'clear', true), [`The unique set "it" ${reason}.`])
  t.same(refused(undefined, 'clear', false), [])
  t.same(refused(undefined, 'cascade', true), [])
  t.same(
    refused(() => parents, 'clear', true),
    []
  )
})

t.test('a check is named by the member that is at fault (issue 20)', async (t) => {
  const holds = () => sql`true`
  const columns = { it: text('it'), hidden: text('hidden') }
  t.same(faultsOf(things(columns, { checks: { it: holds } }), { members: { it: short } }), [])
  t.same(faultsOf(things(columns, { checks: { hidden: holds } }), { members: { it: short } }), [
    'The check "hidden" is named by no member.'
  ])
})

t.test('references of several tables that form a circle are refused (issue 20)', async (t) => {
  const to = (of: () => Target) => ({ it: reference('it', of) })
  const self: Target = table(
    'selves',
    to((): Target => self)
  )
  const [a, b, c]: Target[] = [
    table(
      'as',
      to((): Target => b as Target)
    ),
    table(
      'bs',
      to((): Target => c as Target)
    ),
    table('cs', {
      it: reference('it', (): Target => a as Target),
      other: reference('other', (): Target => c as Target)
    })
  ]
  const outside = table('outsides', { it: reference('it', () => a as Target), self: reference('self', () => self) })
  const members = { it: Type.String() }
  const faults = (one: unknown) => faultsOf(one as ResourceTable, { members })
  t.same(faults(self), [], 'a table may refer to itself')
  t.same(faults(a), ['The references as → bs → cs → as form a circle.'])
  t.same(faults(b), ['The references bs → cs → as → bs form a circle.'])
  t.same(faults(outside), [], 'one that leads to a circle is in none')
})

t.test('a max is a count, or follows from the configuration (issue 20)', async (t) => {
  const declared = (max: unknown) => faultsOf(parents, { members: { it: short }, max })
  for (const max of [1, 5000]) t.same(declared(max), [])
  for (const max of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '5']) {
    t.same(declared(max), [`The max ${max} must be a whole number from 1 to 999999999.`])
  }
  const config = { requestsMax: 7 } as Config
  const maxOf = (options: object) => declare(parents, { members: { it: short }, ...options }).maxOf(config)
  t.equal(maxOf({ max: 5 }), 5)
  t.equal(maxOf({ max: ({ requestsMax }: Config) => requestsMax }), 7)
  t.equal(maxOf({ max: () => null }), null)
  t.equal(maxOf({}), null, 'without one there is no bound')
})

t.test('what a create sent is for the service alone (issue 20)', async (t) => {
  t.same(faultsOf(parents, { members: { createDigest: short } }), [
    'The member "createDigest" is for the service alone.'
  ])
  t.same(faultsOf(things({ it: text('create_digest') }), { members: { it: short } }), [
    'The column "createDigest" has the SQL name of another column, create_digest.'
  ])
})

t.test('a constraint has the name that PostgreSQL reports, however long its columns are (issue 20)', async (t) => {
  t.equal(nameOf('papers', 'folder_id', 'fk'), 'papers_folder_id_fk')
  t.equal(nameOf('x'.repeat(60), 'fk'), `${'x'.repeat(60)}_fk`, '63 bytes are kept as they are')
  const names = ['y', 'z'].map((end) => nameOf('x'.repeat(70) + end, 'fk'))
  for (const name of names) {
    t.match(name, /^x{54}_[0-9a-f]{8}$/)
    t.equal(Buffer.byteLength(name), 63)
  }
  t.not(names[0], names[1])
  for (const letter of ['é', '€', '🥛']) {
    for (const before of ['', 'x', 'xy', 'xyz']) {
      const name = nameOf(before + letter.repeat(40), 'fk')
      t.ok(Buffer.byteLength(name) <= 63, `${name} is not cut off`)
      t.match(name, new RegExp(`^${before}${letter}+_[0-9a-f]{8}$`, 'u'))
    }
  }
})

t.test('a table has the keys of its constraints (issue 20)', async (t) => {
  const made = things(
    { parentId: reference('parent_id', () => parents), it: text('it') },
    { unique: [['parentId', 'it']], checks: { it: ({ it }) => sql`${it} <> ''` } }
  )
  const { foreignKeys, indexes, checks } = getTableConfig(made)
  t.same(
    constraintsOf(made).map(({ kind, name, members }) => [kind, name, members]),
    [
      ['reference', 'things_parent_id_fk', ['parentId']],
      ['unique', 'things_parent_id_it_unique', ['parentId', 'it']],
      ['check', 'things_it_check', ['it']]
    ]
  )
  const [key] = foreignKeys
  t.match(key, { onDelete: 'restrict', onUpdate: 'restrict' })
  t.equal(key?.getName(), 'things_parent_id_fk')
  const { columns = [], foreignColumns = [] } = key?.reference() ?? {}
  t.same(
    [columns, foreignColumns].map((some) => some.map(({ name }) => name).join()),
    ['user_id,parent_id', 'user_id,id']
  )
  t.same(
    indexes.map(({ config }) => [config.name, config.unique]),
    [
      ['things_parent_id_index', false],
      ['things_parent_id_it_unique', true]
    ]
  )
  t.same(
    checks.map(({ name }) => name),
    ['things_it_check']
  )
})

t.test('rows are deleted before those that they refer to, and inserted after them (issue 20)', async (t) => {
  const leaves = table('leaves', { it: reference('it', () => branches) })
  const branches: Target = table('branches', {
    it: reference('it', () => roots),
    self: reference('self', () => branches)
  })
  const roots = table('roots', { it: text('it') })
  for (const tables of [
    [leaves, branches, roots, parents],
    [parents, roots, branches, leaves],
    [branches, leaves, parents, roots]
  ]) {
    const [deleted, inserted] = [deletionOrder<Target>(tables), insertionOrder<Target>(tables)]
    t.same(new Set(deleted), new Set(tables))
    t.same(new Set(inserted), new Set(tables))
    const isOrdered = (order: readonly unknown[], ...names: unknown[]) =>
      names.map((one) => order.indexOf(one)).every((at, i, all) => i === 0 || at > Number(all[i - 1]))
    t.ok(isOrdered(deleted, leaves, branches, roots))
    t.ok(isOrdered(inserted, roots, branches, leaves))
  }
  t.same(deletionOrder([parents, roots]), [parents, roots], 'those without references stay where they are')
})

t.test('only what a constraint of ours refuses is a problem of the client (issue 20)', async (t) => {
  const made = things({ it: reference('it', () => parents) })
  const { constraints } = declare(made, { members: { it: Type.String() } })
  const violating = (constraint_name: unknown, code: unknown = '23503') =>
    Object.assign(new Error(), { code, constraint_name })
  const ours = violating('things_it_fk')
  t.match(problemOfWrite(constraints, ours), { problem: 'no_such_reference', issues: [{ pointer: '/it' }] })
  t.match(problemOfWrite(constraints, { cause: ours }), { problem: 'no_such_reference' }, 'as Drizzle throws it')
  t.match(problemOfRemoval([parents, made], ours), {
    problem: 'still_referenced',
    message: 'Your things still refer to it'
  })
  // PostgreSQL 18 has a code of its own for the delete.
  t.match(problemOfRemoval([made], violating('things_it_fk', '23001')), { problem: 'still_referenced' })
  for (const error of [violating('other'), violating(undefined), violating('things_it_fk', '23502'), new Error('no')]) {
    t.equal(problemOfWrite(constraints, error), error)
    t.equal(problemOfRemoval([parents, made], error), error)
  }
  t.match(
    problemOfRemoval(
      [table('bank_accounts', { it: reference('it', () => parents) })],
      violating('bank_accounts_it_fk')
    ),
    {
      message: 'Your bank accounts still refer to it'
    }
  )
})
