// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/enoki: the door of queue.c for programs.
 *
 * Anybody may open it. What a client may do is decided when it opens the file:
 * without CAP_SYS_NICE it can send hints about threads of its own process only, and
 * not more than so many a second.
 */

#include <linux/miscdevice.h>
#include <linux/pid_namespace.h>

static int enoki_device_open(struct inode *inode, struct file *file)
{
	struct enoki_client *client = kzalloc_obj(*client, GFP_KERNEL_ACCOUNT);

	if (!client)
		return -ENOMEM;

	mutex_init(&client->mutex);
	raw_spin_lock_init(&client->lock);
	init_waitqueue_head(&client->wait);
	client->wake = IRQ_WORK_INIT(enoki_client_wake);
	client->trusted = capable(CAP_SYS_NICE);
	client->uid = current_uid();
	client->tgid = get_pid(task_tgid(current));
	client->pid_ns = get_pid_ns(task_active_pid_ns(current));
	file->private_data = client;

	return nonseekable_open(inode, file);
}

static int enoki_device_release(struct inode *inode, struct file *file)
{
	struct enoki_client *client = file->private_data;

	enoki_recording_close(client);
	enoki_client_leave(client);
	if (client->eventfd)
		eventfd_ctx_put(client->eventfd);
	put_pid(client->tgid);
	put_pid_ns(client->pid_ns);
	mutex_destroy(&client->mutex);
	kfree(client);

	return 0;
}

static int enoki_device_queue(struct enoki_client *client, void __user *arg)
{
	struct enoki_queue queue;
	int ret;

	if (copy_from_user(&queue, arg, sizeof(queue)))
		return -EFAULT;

	ret = enoki_client_queue(client, &queue);
	if (ret)
		return ret;

	/* The queue is there all the same; closing the file is what undoes it. */
	return copy_to_user(arg, &queue, sizeof(queue)) ? -EFAULT : 0;
}

static int enoki_device_hint(struct enoki_client *client, void __user *arg)
{
	u64 data[ENOKI_MAX_HINT_SIZE / sizeof(u64)];
	struct enoki_hint hint;

	if (copy_from_user(&hint, arg, sizeof(hint)))
		return -EFAULT;
	if (hint.size > sizeof(data))
		return -EINVAL;
	if (copy_from_user(data, u64_to_user_ptr(hint.data), hint.size))
		return -EFAULT;

	return enoki_client_hint(client, hint.tid, data, hint.size);
}

static int enoki_device_eventfd(struct enoki_client *client, int fd)
{
	struct eventfd_ctx *new = NULL, *old;

	if (fd >= 0) {
		new = eventfd_ctx_fdget(fd);
		if (IS_ERR(new))
			return PTR_ERR(new);
	}
	old = xchg(&client->eventfd, new);
	if (!old)
		return 0;

	irq_work_sync(&client->wake);
	eventfd_ctx_put(old);
	return 0;
}

static int enoki_device_record(struct enoki_client *client, void __user *arg)
{
	struct enoki_recording recording;
	int ret;

	if (copy_from_user(&recording, arg, sizeof(recording)))
		return -EFAULT;

	ret = enoki_recording_open(client, &recording);
	if (ret)
		return ret;

	return copy_to_user(arg, &recording, sizeof(recording)) ? -EFAULT : 0;
}

/* What is about policies, and not about what the client has of one. */
static long enoki_device_recording(struct enoki_client *client, unsigned int cmd,
				   unsigned long arg)
{
	switch (cmd) {
	case ENOKI_IOC_RECORD:
		return enoki_device_record(client, (void __user *)arg);
	case ENOKI_IOC_RECORD_START:
		return enoki_recording_start(client);
	case ENOKI_IOC_RECORD_STOP:
		return enoki_recording_stop(client);
	}

	return -ENOTTY;
}

static long enoki_device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct enoki_client *client = file->private_data;
	long ret;

	/* That mutex is taken by those who change policies. */
	ret = enoki_device_recording(client, cmd, arg);
	if (ret != -ENOTTY)
		return ret;

	guard(mutex)(&client->mutex);
	switch (cmd) {
	case ENOKI_IOC_POLICY:
		if (client->joined)
			return -EBUSY;
		return arg > ENOKI_MAX_ID ? -ENODEV : enoki_client_join(client, arg);
	case ENOKI_IOC_QUEUE:
		return enoki_device_queue(client, (void __user *)arg);
	case ENOKI_IOC_DOORBELL:
		return enoki_client_doorbell(client);
	case ENOKI_IOC_HINT:
		return enoki_device_hint(client, (void __user *)arg);
	case ENOKI_IOC_EVENTFD:
		return enoki_device_eventfd(client, arg);
	}

	return -ENOTTY;
}

static __poll_t enoki_device_poll(struct file *file, poll_table *table)
{
	struct enoki_client *client = file->private_data;
	__poll_t events = 0;

	poll_wait(file, &client->wait, table);
	if (READ_ONCE(client->joined) && !rcu_access_pointer(client->es))
		events |= EPOLLHUP | EPOLLERR;
	if (enoki_ring_waits(&client->messages))
		events |= EPOLLIN | EPOLLRDNORM;
	if (enoki_ring_has_room(&client->hints))
		events |= EPOLLOUT | EPOLLWRNORM;
	if (enoki_recording_poll(client, file, table))
		events |= EPOLLIN | EPOLLRDNORM;

	return events;
}

static int enoki_device_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct enoki_client *client = file->private_data;
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	struct enoki_half *half;

	if (offset == ENOKI_TAPES_OFFSET)
		return enoki_recording_map(client, vma);
	if (offset == ENOKI_HINTS_OFFSET)
		half = &client->hints;
	else if (offset == ENOKI_MESSAGES_OFFSET)
		half = &client->messages;
	else
		return -EINVAL;
	/* Pairs with the release in enoki_client_publish(); it stays until the file is closed. */
	if (!smp_load_acquire(&half->ring))
		return -EINVAL;
	if (vma->vm_end - vma->vm_start > half->size || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;

	/* A child has the file, but it is another process that the hints are about. */
	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	return remap_vmalloc_range(vma, half->ring, 0);
}

static const struct file_operations enoki_device_fops = {
	.owner		= THIS_MODULE,
	.open		= enoki_device_open,
	.release	= enoki_device_release,
	.unlocked_ioctl	= enoki_device_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.poll		= enoki_device_poll,
	.mmap		= enoki_device_mmap,
};

static struct miscdevice enoki_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "enoki",
	.fops	= &enoki_device_fops,
	.mode	= 0666,
};

static int __init enoki_device_init(void)
{
	return misc_register(&enoki_device);
}
device_initcall(enoki_device_init);
