import type { FastifySchemaValidationError } from 'fastify'
import { Problem, type ProblemCode } from './problems.ts'

// The messages for our own formats (src/http/formats.ts), and for a keyword of which AJV tells how it works.
const MESSAGES: Record<string, string> = {
  discriminator: 'must be equal to one of the allowed values',
  'false schema': 'must NOT be there',
  text: 'must NOT contain U+0000 or a lone surrogate',
  'recent-uuidv7': 'must be a UUIDv7 of about now, a day either way',
  date: 'must be an RFC 3339 full-date, of years 0001 to 9999',
  'date-time': 'must be an RFC 3339 date-time with an offset, of years 0001 to 9999, to the microsecond at most'
}

// The parts of a request that have another name in Fastify.
const PARTS: Record<string, string> = { querystring: 'query', headers: 'header' }

const ISSUES_MAX = 20

// RFC 6901 section 3.
const escapePointer = (name: unknown) => String(name).replaceAll('~', '~0').replaceAll('/', '~1')

/** Returns a JSON Pointer to the member with the issue, also when the member is missing, unknown or a discriminator. */
function pointerOf({ instancePath, params }: FastifySchemaValidationError): string {
  const member = params.missingProperty ?? params.additionalProperty ?? params.tag
  return member === undefined ? instancePath : `${instancePath}/${escapePointer(member)}`
}

/**
 * Makes the formatter that turns validation errors into problems. A body or query that does not fit its schema is
 * `validation_failed` with its issues. A path that does not fit is the resource's own "not found".
 */
export const schemaErrorFormatter = (notFound: ProblemCode) => (errors: FastifySchemaValidationError[], part: string) =>
  part === 'params'
    ? new Problem(notFound)
    : new Problem(
        'validation_failed',
        errors.slice(0, ISSUES_MAX).map((error) => ({
          in: PARTS[part] ?? part,
          pointer: pointerOf(error),
          detail: MESSAGES[String(error.params.format ?? error.keyword)] ?? String(error.message)
        }))
      )
