CREATE TABLE "changes" (
	"user_id" text collate "C" NOT NULL,
	"seq" bigint NOT NULL,
	"resource" text NOT NULL,
	"id" uuid NOT NULL,
	"version" integer NOT NULL,
	"kind" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "changes_user_id_seq_pk" PRIMARY KEY("user_id","seq")
);
--> statement-breakpoint
ALTER TABLE "changes" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "feeds" (
	"user_id" text collate "C" NOT NULL,
	"key" uuid DEFAULT gen_random_uuid() NOT NULL,
	"seq" bigint NOT NULL,
	"started_by" "xid8" NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	CONSTRAINT "feeds_user_id_pk" PRIMARY KEY("user_id")
);
--> statement-breakpoint
ALTER TABLE "feeds" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE INDEX "changes_created_at" ON "changes" USING btree ("created_at");--> statement-breakpoint
CREATE POLICY "changes_owner" ON "changes" AS PERMISSIVE FOR ALL TO public USING ("changes"."user_id" = current_setting('rowkeeper.owner', true)) WITH CHECK ("changes"."user_id" = current_setting('rowkeeper.owner', true));--> statement-breakpoint
CREATE POLICY "changes_over" ON "changes" AS PERMISSIVE FOR SELECT TO public USING ("changes"."created_at" < now() - interval '24 hours');--> statement-breakpoint
CREATE POLICY "changes_swept" ON "changes" AS PERMISSIVE FOR DELETE TO public USING ("changes"."created_at" < now() - interval '24 hours');--> statement-breakpoint
CREATE POLICY "feeds_owner" ON "feeds" AS PERMISSIVE FOR ALL TO public USING ("feeds"."user_id" = current_setting('rowkeeper.owner', true)) WITH CHECK ("feeds"."user_id" = current_setting('rowkeeper.owner', true));--> statement-breakpoint
CREATE POLICY "feeds_over" ON "feeds" AS PERMISSIVE FOR SELECT TO public USING ("feeds"."expires_at" < now());--> statement-breakpoint
CREATE POLICY "feeds_swept" ON "feeds" AS PERMISSIVE FOR DELETE TO public USING ("feeds"."expires_at" < now());--> statement-breakpoint
-- Records a change for the owner, if somebody listens to them, and tells the instances. The numbers of one owner have no gaps and are in
-- the order of the commits: whoever takes one holds the row of the feed until then.
CREATE FUNCTION record_change(owner text, resource text, id uuid, version integer, kind text) RETURNS void LANGUAGE plpgsql AS $$
declare
  feed feeds;
begin
  update feeds set seq = seq + 1 where user_id = owner and expires_at > now() returning * into feed;
  if found then
    insert into changes (user_id, seq, resource, id, version, kind)
      values (owner, feed.seq, resource, id, version, kind);
    perform pg_notify('rowkeeper', feed.key::text);
  end if;
end $$;
