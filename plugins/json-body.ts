import fp from 'fastify-plugin'
import { parseBody } from '../src/http/json-body.ts'
import { Problem } from '../src/http/problems.ts'

/**
 * Parses JSON bodies: `application/json`, and for PATCH also `application/merge-patch+json` (RFC 7396). A DELETE
 * without a body may have any content type, because some HTTP clients set one on every request.
 */
export default fp(
  async (app) => {
    app.removeAllContentTypeParsers()
    app.addHook('onRequest', (request, _reply, done) => {
      const { 'content-type': type, 'content-length': length = '0', 'transfer-encoding': coding } = request.headers
      // Remove the content type of an absent body, so that Fastify does not refuse it.
      if (request.method === 'DELETE' && type !== undefined && length === '0' && coding === undefined) {
        request.headers = { 'content-type': undefined }
      }
      done()
    })
    app.addContentTypeParser<Buffer>(
      ['application/json', 'application/merge-patch+json'],
      { parseAs: 'buffer' },
      (request, body, done) => {
        if (request.method !== 'PATCH' && request.mediaType === 'application/merge-patch+json') {
          return done(new Problem('unsupported_media_type'))
        }
        // A compressed body is refused (RFC 9110 section 15.5.16): a small body could become a huge one.
        const { 'content-encoding': encoding = 'identity' } = request.headers
        if (encoding.toLowerCase() !== 'identity') return done(new Problem('unsupported_media_type'))
        if (body.length === 0 && request.method === 'DELETE') return done(null, undefined)
        try {
          done(null, parseBody(body))
        } catch (error) {
          done(error as Problem)
        }
      }
    )
  },
  { name: 'json-body' }
)
