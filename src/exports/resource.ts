/** What a project declares its tables and its resources with (docs/adding-a-resource.md). */

export { type Static, Type } from '@sinclair/typebox'
export {
  and,
  asc,
  desc,
  eq,
  gt,
  gte,
  inArray,
  isNotNull,
  isNull as isNullColumn,
  lt,
  lte,
  ne,
  not,
  or,
  sql
} from 'drizzle-orm'
export {
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
export type { UniqueSet } from '../db/constraints.ts'
export { dateTime, ownedTable, reference, type Target } from '../db/tables.ts'
export type { App } from '../http/application.ts'
export { Problem, sendProblem } from '../http/problems.ts'
export { BODY_ERRORS, operation } from '../resource/document.ts'
export {
  after,
  atLeast,
  atMost,
  before,
  contains,
  equals,
  has,
  isNull,
  oneOf,
  type Resource,
  resource
} from '../resource/resource.ts'
export { nextVersion, type Store } from '../resource/store.ts'
export type * as Plugins from './types.ts'
