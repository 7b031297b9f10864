/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM enoki

#if !defined(_TRACE_ENOKI_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_ENOKI_H

#include <linux/tracepoint.h>

/*
 * A policy has been replaced by another version of itself, or that was refused: then
 * @error says why, and the times are those of the last upgrade that was made.
 */
TRACE_EVENT(enoki_upgrade,
	    TP_PROTO(const char *policy, const char *from, const char *to, bool kept, int error,
		     u64 retries, u64 blackout_ns, u64 waited_ns),

	    TP_ARGS(policy, from, to, kept, error, retries, blackout_ns, waited_ns),

	    TP_STRUCT__entry(__string(policy, policy)
			     __string(from, from)
			     __string(to, to)
			     __field(bool, kept)
			     __field(int, error)
			     __field(u64, retries)
			     __field(u64, blackout_ns)
			     __field(u64, waited_ns)
	    ),

	    TP_fast_assign(__assign_str(policy);
			   __assign_str(from);
			   __assign_str(to);
			   __entry->kept = kept;
			   __entry->error = error;
			   __entry->retries = retries;
			   __entry->blackout_ns = blackout_ns;
			   __entry->waited_ns = waited_ns;
	    ),

	    TP_printk("policy=%s from=%s to=%s kept=%d error=%d retries=%llu blackout_ns=%llu waited_ns=%llu",
		      __get_str(policy), __get_str(from), __get_str(to), __entry->kept,
		      __entry->error, __entry->retries, __entry->blackout_ns,
		      __entry->waited_ns)
);

#endif /* _TRACE_ENOKI_H */

#include <trace/define_trace.h>
