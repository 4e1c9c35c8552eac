import { randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  date,
  doublePrecision,
  integer,
  json,
  numeric,
  pgEnum,
  smallint,
  text,
  uuid,
  varchar
} from 'drizzle-orm/pg-core'
import { dateTime, ownedTable } from '../../src/db/tables.ts'
import {
  after,
  atLeast,
  atMost,
  before,
  contains,
  equals,
  has,
  isNull,
  oneOf,
  resource
} from '../../src/resource/resource.ts'

export const sampleStatus = pgEnum('sample_status', ['new', 'open', 'on hold'])

/** A table with every kind of column that a member can have. It is part of the databases of the tests only. */
export const samples = ownedTable('samples', {
  label: text('label').notNull(),
  note: text('note'),
  code: varchar('code', { length: 10 }),
  flag: boolean('flag'),
  count: integer('count').notNull().default(0),
  small: smallint('small'),
  big: bigint('big', { mode: 'number' }),
  ratio: doublePrecision('ratio'),
  price: numeric('price', { precision: 12, scale: 2 }),
  amount: numeric('amount'),
  day: date('day', { mode: 'string' }),
  at: dateTime('at'),
  seenAt: dateTime('seen_at').notNull().default(sql`now()`),
  ref: uuid('ref'),
  token: uuid('token').notNull().$defaultFn(randomUUID),
  status: sampleStatus('status').notNull().default('new'),
  level: text('level', { enum: ['low', 'high'] }),
  tags: text('tags').array().notNull().default([]),
  numbers: doublePrecision('numbers').array(),
  counts: integer('counts').array(),
  settings: json('settings'),
  origin: text('origin').notNull().default('web'),
  score: integer('score').notNull().default(0),
  // A write returns something of this name besides its row.
  record: text('record'),
  // No member: clients never see it.
  internal: text('internal')
})

/** A resource that uses every kind of member, every filter and every sort. Only tests serve it. */
export default resource(samples, {
  name: 'sample',
  members: {
    label: Type.String({ minLength: 1, maxLength: 40 }),
    note: Type.String({ maxLength: 1000 }),
    code: Type.String({ maxLength: 10, pattern: '^[A-Z0-9-]*$' }),
    flag: Type.Boolean(),
    count: Type.Integer({ minimum: -1000 }),
    small: Type.Integer(),
    big: Type.Integer(),
    ratio: Type.Number(),
    price: Type.String(),
    amount: Type.String({ maxLength: 40 }),
    day: Type.String(),
    at: Type.String(),
    seenAt: Type.String(),
    ref: Type.String(),
    token: Type.String(),
    status: Type.Union([Type.Literal('new'), Type.Literal('open'), Type.Literal('on hold')]),
    level: Type.Union([Type.Literal('low'), Type.Literal('high')]),
    tags: Type.Array(Type.String({ maxLength: 20 }), { maxItems: 5 }),
    numbers: Type.Array(Type.Number(), { maxItems: 5 }),
    counts: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 3, uniqueItems: true }),
    settings: Type.Unknown({ maxBytes: 500, maxDepth: 3 }),
    origin: Type.String({ maxLength: 20, createOnly: true }),
    score: Type.Integer({ readOnly: true }),
    record: Type.String({ maxLength: 20 })
  },
  filters: {
    label: equals('label'),
    q: contains('label', 'note'),
    flag: equals('flag'),
    counted: equals('count'),
    countFrom: atLeast('count'),
    countTo: atMost('count'),
    anyCount: oneOf('count'),
    ratioFrom: atLeast('ratio'),
    price: equals('price'),
    priceTo: atMost('price'),
    amountFrom: atLeast('amount'),
    bigTo: atMost('big'),
    day: oneOf('day'),
    dayBefore: before('day'),
    atAfter: after('at'),
    createdAfter: after('createdAt'),
    ref: oneOf('ref'),
    status: oneOf('status'),
    level: equals('level'),
    noLevel: isNull('level'),
    noSettings: isNull('settings'),
    tag: has('tags'),
    number: has('numbers'),
    codes: oneOf('code')
  },
  sorts: [
    'createdAt',
    'updatedAt',
    'label',
    'note',
    'code',
    'flag',
    'count',
    'small',
    'big',
    'ratio',
    'price',
    'amount',
    'day',
    'at',
    'ref',
    'token',
    'status',
    'level'
  ]
})
